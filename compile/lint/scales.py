"""Scales: constant, finite, positive, and one for a whole activation tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compile.lint.view import DEQUANTIZE, QUANTIZE, called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View


def defects(view: View) -> Iterator[str]:
    """Every scale is a constant that divides; activations have one for the tensor."""
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        scale = view.scale(node)
        if scale is None:
            yield f"the scale of {called(node)} is computed in the graph; make it a constant"
            continue
        wrong = ~(np.isfinite(scale) & (scale > 0))
        if wrong.any():
            value = float(scale[wrong].flat[0])
            yield f"a scale of {called(node)} is {value:g}; scales must be finite and positive: train longer"
        if node.op_type == QUANTIZE and scale.size != 1 and view.shape(node.input[0]) is None:
            yield f"{called(node)} has {scale.size} scales; an activation has one for the whole tensor"
