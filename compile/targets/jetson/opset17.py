"""An ONNX graph rewritten for readers of opset 17, as TensorRT 8.5 and 8.6 are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

OPSET = 17
REDUCTIONS = {"ReduceMean", "ReduceMax", "ReduceMin"}
NEW_ATTRIBUTES = {
    "Resize": {"antialias", "axes", "keep_aspect_ratio_policy"},
    "QuantizeLinear": {"saturate"},
    **{kind: {"noop_with_empty_axes"} for kind in REDUCTIONS},
}


def to_opset_17(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` in opset 17: hard-swish as Mul(x, HardSigmoid(x)), axes of reductions as attributes.

    The result is checked; onnx.checker raises on anything that opset 17 does not know.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    nodes = [part for node in model.graph.node for part in _rewrite(node, constants)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [item for item in model.graph.initializer if item.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def _rewrite(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> Iterable[onnx.NodeProto]:
    if node.op_type == "HardSwish":
        gate = f"{node.output[0]}_gate"
        yield helper.make_node("HardSigmoid", [node.input[0]], [gate], f"{node.name}_gate", alpha=1 / 6, beta=0.5)
        yield helper.make_node("Mul", [node.input[0], gate], list(node.output), node.name)
        return
    dropped = NEW_ATTRIBUTES.get(node.op_type, set())
    kept = [attribute for attribute in node.attribute if attribute.name not in dropped]
    del node.attribute[:]
    node.attribute.extend(kept)
    if node.op_type in REDUCTIONS and len(node.input) == 2:
        axes = [int(axis) for axis in constants[node.input[1]]]
        del node.input[1]
        node.attribute.append(helper.make_attribute("axes", axes))
    yield node
