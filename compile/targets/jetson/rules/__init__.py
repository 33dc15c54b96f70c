"""What TensorRT refuses or silently gets wrong: rules for compile.lint.

- ``TENSORRT``: where TensorRT wants its Q/DQ pairs.
- ``TENSORRT_10`` and ``TENSORRT_8``: the files of a bundle, typed in fp16 or in opset 17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint import EVERY
from compile.targets.jetson.rules import placement, versions

if TYPE_CHECKING:
    from compile.lint import Rule

TENSORRT: tuple[Rule, ...] = (
    *EVERY,
    placement.concatenations,
    placement.residuals,
    placement.gates,
    placement.narrow,
    placement.both_or_none,
)
TENSORRT_10: tuple[Rule, ...] = (
    *TENSORRT,
    versions.lacking_operators,
    versions.half_scales,
    versions.half_needs_opset_19,
)
TENSORRT_8: tuple[Rule, ...] = (*TENSORRT, versions.lacking_operators, versions.at_most_opset_17)
