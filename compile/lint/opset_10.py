"""The file for TensorRT 10 and 11 is typed in fp16: QuantizeLinear of half precision exists since opset 19."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compile.lint.view import DEQUANTIZE, QUANTIZE, called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View

FIRST = 19


def defects(view: View) -> Iterator[str]:
    """Scales in fp16 need opset 19."""
    if view.opset() >= FIRST:
        return
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        scale = view.scale(node)
        if scale is not None and scale.dtype == np.float16:
            yield f"{called(node)} is typed in fp16, which opset {view.opset()} does not know; export opset {FIRST}"
