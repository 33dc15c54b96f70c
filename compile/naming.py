"""Names of the nodes of an exported graph: those of the student's modules and tensors, as messages and reports use.

An exporter calls them ``node_quantize_per_tensor_31``, which tells nobody which layer is meant.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from compile.layers import layer_name
from distill.int8.graph import convolutions, tensor_name

if TYPE_CHECKING:
    import onnx
    from torch.fx import GraphModule, Node

ROUNDED = "rounded tensor"  # metadata of a quantise node: the name of the tensor that it rounds
PLAIN = {"add": "Add", "mul": "Mul", "cat": "Concat", "relu": "Relu", "hardswish": "HardSwish", "sigmoid": "Sigmoid"}


def name_nodes(model: onnx.ModelProto, graph: GraphModule) -> None:
    """Name a model's convolutions after their modules, other nodes after their tensors, rounding after what it rounds.

    graph : what the model was exported from; its quantise nodes say under ROUNDED which tensor they round
    A QuantizeLinear becomes ``TENSOR:quantize``, its partner ``TENSOR:dequantize``, and the DequantizeLinear of a
    weight ``MODULE.weight:dequantize``.
    """
    _name_convolutions(model, graph)
    made = _by_exporter_s_name(graph)
    rounded = {name: node.meta[ROUNDED] for name, node in made.items() if ROUNDED in node.meta}
    for node in model.graph.node:
        source = made.get(node.output[0])
        if node.op_type == "QuantizeLinear" and node.output[0] in rounded:
            node.name = f"{rounded[node.output[0]]}:quantize"
        elif node.op_type == "DequantizeLinear" and node.input[0] in rounded:
            node.name = f"{rounded[node.input[0]]}:dequantize"
        elif source is not None and PLAIN.get(_operator(source)) == node.op_type:
            node.name = tensor_name(source)


def _name_convolutions(model: onnx.ModelProto, graph: GraphModule) -> None:
    maker = {name: node for node in model.graph.node for name in node.output}
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    for node, source in zip(nodes, convolutions(graph), strict=True):
        node.name = layer_name(source)
        weight = maker.get(node.input[1])
        if weight is not None and weight.op_type == "DequantizeLinear":
            weight.name = f"{node.name}.weight:dequantize"


def _by_exporter_s_name(graph: GraphModule) -> dict[str, Node]:
    """The graph's nodes by what torch.export calls their results: the operator, numbered in order of execution."""
    seen: Counter[str] = Counter()
    found: dict[str, Node] = {}
    for node in graph.graph.nodes:
        if node.op == "call_function" and ("tensor" in node.meta or ROUNDED in node.meta):
            kind = _operator(node)
            found[f"{kind}_{seen[kind]}" if seen[kind] else kind] = node
            seen[kind] += 1
    return found


def _operator(node: Node) -> str:
    return getattr(node.target, "_opname", node.name)
