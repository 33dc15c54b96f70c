"""What the strictest backend refuses or silently gets wrong, said early and by node name.

The rules are TensorRT's for explicit quantisation; a graph that keeps them is read by OpenVINO and onnxruntime too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

from runtime.errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

    from compile.export import QuantizedGraph

PAIRS = ("QuantizeLinear", "DequantizeLinear")


def lint(graph: QuantizedGraph) -> None:
    """Raise EdgescopeError with every defect of the graph that is to be lowered."""
    found = [*defects(graph.reference), *(defects(graph.sparse) if graph.sparse is not graph.reference else ())]
    if found:
        msg = f"The graph of {graph.student.spec.name} cannot be lowered: {'; '.join(dict.fromkeys(found))}."
        raise EdgescopeError(msg)


def defects(model: onnx.ModelProto) -> Iterator[str]:
    """Every defect of a Q/DQ model in words: node, what is wrong, what to do."""
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in PAIRS:
            yield from _scale_defects(node, constants)
        elif node.op_type in ("Conv", "ConvTranspose"):
            yield from _convolution_defects(node, constants, maker)
        elif node.op_type == "Concat":
            yield from _concat_defects(node, constants, maker)
        elif node.op_type.startswith("QLinear"):
            yield f"{node.name} is a {node.op_type}; export Q/DQ pairs around a float operator instead"


def _scale_defects(node: onnx.NodeProto, constants: dict[str, NDArray]) -> Iterator[str]:
    scale = constants.get(node.input[1])
    if scale is None:
        yield f"the scale of {node.name} is computed in the graph; make it a constant"
        return
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        yield f"a scale of {node.name} is {np.asarray(scale).min()}; scales must be finite and positive: train longer"
    unsaid = np.uint8 if node.op_type == "QuantizeLinear" else np.int8  # the standard's default, and the codes' own
    zero = constants.get(node.input[2]) if len(node.input) > 2 else np.zeros(1, unsaid)
    if zero is None or np.any(zero):
        yield f"the zero-point of {node.name} is not 0; quantise symmetrically"
    if zero is not None and zero.dtype != np.int8:
        yield f"{node.name} stores {zero.dtype}, not int8; quantise symmetrically"


def _convolution_defects(
    node: onnx.NodeProto, constants: dict[str, NDArray], maker: dict[str, onnx.NodeProto]
) -> Iterator[str]:
    weight = maker.get(node.input[1])
    scales = constants.get(weight.input[1]) if weight is not None and weight.op_type == "DequantizeLinear" else None
    if weight is not None and scales is not None and scales.size > 1:
        axis = next((item.i for item in weight.attribute if item.name == "axis"), 1)
        due = 0 if node.op_type == "Conv" else 1
        if axis != due:
            yield f"the weight of {node.name} has its scales along axis {axis}; they belong along axis {due}"
    if len(node.input) > 2 and node.input[2] in maker:
        yield f"the bias of {node.name} comes through {maker[node.input[2]].op_type}; keep it a float constant"


def _concat_defects(
    node: onnx.NodeProto, constants: dict[str, NDArray], maker: dict[str, onnx.NodeProto]
) -> Iterator[str]:
    makers = [maker.get(name) for name in node.input]
    scales = {
        float(constants[item.input[1]])
        for item in makers
        if item is not None and item.op_type == "DequantizeLinear" and item.input[1] in constants
    }
    if len(scales) > 1:
        yield f"the inputs of {node.name} have the scales {sorted(scales)}; a concatenation needs one for all"
