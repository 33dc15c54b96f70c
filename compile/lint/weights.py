"""Weights of convolutions: stored as int8 codes, with scales along the axis of the output channels.

TensorRT's parser checks the axis of a Conv and not that of a ConvTranspose, whose output channels lie on axis 1;
with another axis it computes nonsense without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import QUANTIZE, attribute, called

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from compile.lint.view import View

SMALLEST = -127  # TFLite's kernels take weights to be symmetric: -128 overflows in them


def defects(view: View) -> Iterator[str]:
    """Every quantised weight is a constant of int8 codes in [-127, 127], one scale per output channel."""
    for node in view.kind("Conv", "ConvTranspose"):
        behind = view.maker.get(node.input[1])
        dequantizer = view.dequantizer(node.input[1])
        if dequantizer is not None:
            yield from _stored(view, node, dequantizer)
            yield from _axis(view, node, dequantizer)
        elif behind is not None and behind.op_type != "Constant":
            yield f"the weight of {called(node)} is computed by {called(behind)}; make it a constant"


def _stored(view: View, node: onnx.NodeProto, dequantizer: onnx.NodeProto) -> Iterator[str]:
    name = dequantizer.input[0]
    if (codes := view.constant(name)) is None:
        maker = view.maker.get(name)
        if maker is not None and maker.op_type == QUANTIZE:
            yield f"the weight of {called(node)} is stored as float behind {called(maker)}; store its int8 codes"
        else:
            yield f"the weight of {called(node)} is computed in the graph; make it a constant"
    elif codes.dtype != "int8":
        yield f"the weight of {called(node)} is stored as {codes.dtype}; store int8 codes"
    elif codes.min(initial=0) < SMALLEST:
        yield f"the weight of {called(node)} holds the code {codes.min()}; keep weights in [{SMALLEST}, {-SMALLEST}]"


def _axis(view: View, node: onnx.NodeProto, dequantizer: onnx.NodeProto) -> Iterator[str]:
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
