"""Zero-points: 0, and int8. TensorRT knows no other quantisation, and the scheme has no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compile.lint.view import DEQUANTIZE, QUANTIZE, called

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

    from compile.lint.view import View


def defects(view: View) -> Iterator[str]:
    """Every zero-point is an int8 0."""
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        zero = _zero(view, node)
        if zero is None or np.any(zero):
            yield f"the zero-point of {called(node)} is not 0; quantise symmetrically"
        if zero is not None and zero.dtype != np.int8:
            yield f"{called(node)} stores {zero.dtype}, not int8; quantise symmetrically"


def _zero(view: View, node: onnx.NodeProto) -> NDArray[np.generic] | None:
    """The zero-point's values, None when it is computed. Where none is given, the standard says which it is."""
    if len(node.input) > 2 and node.input[2]:
        return view.constant(node.input[2])
    codes = view.constant(node.input[0]) if node.op_type == DEQUANTIZE else None
    if codes is not None:
        return np.zeros(1, codes.dtype)
    return np.zeros(1, np.uint8 if node.op_type == QUANTIZE else np.int8)
