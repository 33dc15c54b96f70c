"""An ONNX graph typed in half precision, for TensorRT's strongly typed networks.

Every float32 constant becomes float16; images come in and probabilities go out as float32, cast at the edge.
Scales of the scheme are exact in float16 by construction, so codes stay what they were.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.errors import InputError

KEPT_INPUTS = {"Resize": (1, 2)}  # region and factors of a resize are float32 by the standard
LARGEST = float(np.finfo(np.float16).max)


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` that computes in float16 between float32 input and output.

    InputError names the constant that float16 cannot hold.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    kept = {
        node.input[i] for node in model.graph.node for i in KEPT_INPUTS.get(node.op_type, ()) if len(node.input) > i
    }
    for initializer in model.graph.initializer:
        if initializer.data_type == TensorProto.FLOAT and initializer.name not in kept:
            initializer.CopyFrom(_half(initializer))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT and node.output[0] not in kept:
                attribute.t.CopyFrom(_half(attribute.t))
    del model.graph.value_info[:]
    _cast_edges(model.graph)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def _half(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    if np.abs(values).max(initial=0) > LARGEST:
        msg = f"{tensor.name} holds {np.abs(values).max():.3g}, more than float16 can; use --precision fp32."
        raise InputError(msg)
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)


def _cast_edges(graph: onnx.GraphProto) -> None:
    image, result = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.input[:] = [f"{image}_half" if name == image else name for name in node.input]
        node.output[:] = [f"{result}_half" if name == result else name for name in node.output]
    graph.node.insert(0, helper.make_node("Cast", [image], [f"{image}_half"], "input_to_half", to=TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", [f"{result}_half"], [result], "output_to_float", to=TensorProto.FLOAT))
