"""The rules that every graph keeps, whatever target reads it. Each yields its breaches in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx.defs

from compile.lint.view import DEQUANTIZE, QUANTIZE, attribute, called
from runtime.artifact.manifest import QuantScheme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from compile.lint.view import ModelView

STANDARD = ("", "ai.onnx")
# They compute in integers with scales of their own; explicit quantisation is float operators between Q/DQ pairs.
INTEGER = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")
CONTROL_FLOW = ("If", "Loop", "Scan")
LEAST, MOST = QuantScheme.weight_range  # beyond it sums overflow on processors without VNNI: distill.int8.quantize


def standard_operators(view: ModelView) -> Iterator[str]:
    """Every operator is ONNX's own, and computes the same for every tile."""
    opset = view.opset()
    for node in view.nodes:
        if node.domain not in STANDARD:
            yield (
                f"{called(node)} is a {node.op_type} of the domain {node.domain!r}, which no backend knows; "
                "build it from standard operators"
            )
        elif node.op_type in INTEGER or node.op_type.startswith("QLinear"):
            yield f"{called(node)} is a {node.op_type}; export Q/DQ pairs around a float operator instead"
        elif node.op_type in CONTROL_FLOW:
            yield f"{called(node)} is control flow ({node.op_type}); trace the student for one size of tile"
        elif not onnx.defs.has(node.op_type, opset):
            yield f"{called(node)} is a {node.op_type}, which opset {opset} does not have; use standard operators"


def static_shapes(view: ModelView) -> Iterator[str]:
    """Every size of every input and output is a number, and the first is 1.

    Engines are built for one size, and tiles come one by one.
    """
    graph = view.model.graph
    for tensor in (*graph.input, *graph.output):
        if not tensor.type.tensor_type.HasField("shape"):
            yield f"{tensor.name} has no shape; export for one size of tile"
            continue
        sizes = [_size(size) for size in tensor.type.tensor_type.shape.dim]
        if loose := [str(size) for size in sizes if not isinstance(size, int)]:
            yield f"{tensor.name} has the open size {', '.join(loose)}; export for one size of tile"
        elif sizes and sizes[0] != 1:
            yield f"{tensor.name} has a batch of {sizes[0]}; export for a batch of 1"


def _size(size: onnx.TensorShapeProto.Dimension) -> int | str:
    return size.dim_value if size.dim_value > 0 else (size.dim_param or "?")


def constant_scales(view: ModelView) -> Iterator[str]:
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


def no_zero_points(view: ModelView) -> Iterator[str]:
    """Every zero-point is an int8 0.

    TensorRT knows no other quantisation, and the scheme has no other.
    """
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        zero = _zero(view, node)
        if zero is None or np.any(zero):
            yield f"the zero-point of {called(node)} is not 0; quantise symmetrically"
        if zero is not None and zero.dtype != np.int8:
            yield f"{called(node)} stores {zero.dtype}, not int8; quantise symmetrically"


def _zero(view: ModelView, node: onnx.NodeProto) -> NDArray[np.generic] | None:
    """The zero-point's values, None when it is computed. Where none is given, the standard says which it is."""
    if len(node.input) > 2 and node.input[2]:
        return view.constant(node.input[2])
    codes = view.constant(node.input[0]) if node.op_type == DEQUANTIZE else None
    if codes is not None:
        return np.zeros(1, codes.dtype)
    return np.zeros(1, np.uint8 if node.op_type == QUANTIZE else np.int8)


def pairs(view: ModelView) -> Iterator[str]:
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


def _same_scale(view: ModelView, quantizer: onnx.NodeProto, dequantizer: onnx.NodeProto) -> bool:
    one, other = view.scale(quantizer), view.scale(dequantizer)
    return one is None or other is None or np.array_equal(one, other, equal_nan=True)  # None: a defect of its own


def int8_weights(view: ModelView) -> Iterator[str]:
    """Every quantised weight is a constant of int8 codes in the scheme's range, one scale per output channel.

    TensorRT's parser checks the axis of a Conv and not that of a ConvTranspose, whose output channels lie on axis 1;
    with another axis it computes nonsense without a word.
    """
    for node in view.kind("Conv", "ConvTranspose"):
        behind = view.maker.get(node.input[1])
        dequantizer = view.dequantizer(node.input[1])
        if dequantizer is not None:
            yield from _stored(view, node, dequantizer)
            yield from _axis(view, node, dequantizer)
        elif behind is not None and behind.op_type != "Constant":
            yield f"the weight of {called(node)} is computed by {called(behind)}; make it a constant"


def _stored(view: ModelView, node: onnx.NodeProto, dequantizer: onnx.NodeProto) -> Iterator[str]:
    name = dequantizer.input[0]
    if (codes := view.constant(name)) is None:
        maker = view.maker.get(name)
        if maker is not None and maker.op_type == QUANTIZE:
            yield f"the weight of {called(node)} is stored as float behind {called(maker)}; store its int8 codes"
        else:
            yield f"the weight of {called(node)} is computed in the graph; make it a constant"
    elif codes.dtype != "int8":
        yield f"the weight of {called(node)} is stored as {codes.dtype}; store int8 codes"
    elif wide := [code for code in (codes.min(initial=0), codes.max(initial=0)) if not LEAST <= code <= MOST]:
        yield f"the weight of {called(node)} holds the code {wide[0]}; keep weights in [{LEAST}, {MOST}]"


def _axis(view: ModelView, node: onnx.NodeProto, dequantizer: onnx.NodeProto) -> Iterator[str]:
    scale = view.scale(dequantizer)
    if scale is None or scale.size == 1:
        return
    shape = view.shape(dequantizer.input[0]) or ()
    axis = attribute(dequantizer, "axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    due = 0 if node.op_type == "Conv" else 1
    if due == 1 and view.groups(node) > 1:
        yield f"{called(node)} has {view.groups(node)} groups and a scale for each channel; give its weight one scale"
    elif axis != due:
        yield f"the weight of {called(node)} has its scales along axis {axis}; they belong along axis {due}"
    elif shape and scale.size != shape[due]:
        yield f"the weight of {called(node)} has {scale.size} scales for {shape[due]} channels; give one for each"


def float_biases(view: ModelView) -> Iterator[str]:
    """Every bias of a convolution is a float constant.

    TensorRT refuses an int32 bias through DequantizeLinear.
    """
    for node in view.kind("Conv", "ConvTranspose"):
        maker = view.maker.get(node.input[2]) if len(node.input) > 2 else None
        if maker is not None and maker.op_type != "Constant":
            yield f"the bias of {called(node)} comes through {maker.op_type}; keep it a float constant"


def one_scale_to_join(view: ModelView) -> Iterator[str]:
    """The quantised inputs of a concatenation have one scale.

    Codes can be laid side by side only then.
    """
    for node in view.kind("Concat"):
        pairs = [pair for name in node.input if (pair := view.dequantizer(name)) is not None]
        found = {float(scale.flat[0]) for pair in pairs if (scale := view.scale(pair)) is not None}
        if len(found) > 1:
            yield f"the inputs of {called(node)} have the scales {sorted(found)}; a concatenation needs one for all"
