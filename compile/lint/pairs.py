"""QuantizeLinear and DequantizeLinear come in pairs with one scale; codes go nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compile.lint.view import DEQUANTIZE, QUANTIZE, called

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from compile.lint.view import View


def defects(view: View) -> Iterator[str]:
    """Every QuantizeLinear is read by DequantizeLinear alone, with the same scale, and the other way round."""
    for node in view.kind(QUANTIZE):
        readers = view.readers(node.output[0])
        others = [f"{called(reader)} ({reader.op_type})" for reader in readers if reader.op_type != DEQUANTIZE]
        if others or not readers:
            reads = ", ".join(others) or "nothing"
            yield f"{called(node)} has no DequantizeLinear behind it: {reads} reads its codes; dequantise at once"
        for reader in readers:
            if reader.op_type == DEQUANTIZE and not _same_scale(view, node, reader):
                yield f"{called(node)} and {called(reader)} have different scales; a pair has one"
    for node in view.kind(DEQUANTIZE):
        maker = view.maker.get(node.input[0])
        if view.shape(node.input[0]) is None and (maker is None or maker.op_type != QUANTIZE):
            source = node.input[0] if maker is None else called(maker)
            yield f"{called(node)} reads {source}, which is no QuantizeLinear; quantise right before it"


def _same_scale(view: View, quantizer: onnx.NodeProto, dequantizer: onnx.NodeProto) -> bool:
    one, other = view.scale(quantizer), view.scale(dequantizer)
    return one is None or other is None or np.array_equal(one, other, equal_nan=True)  # None: a defect of its own
