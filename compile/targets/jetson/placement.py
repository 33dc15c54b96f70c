"""The Q/DQ graph with rounding where TensorRT wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill.int8.graph import aten, is_convolution
from distill.int8.quantize import feeds_convolution, is_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from torch.fx import Node

    from compile.export import QuantizedGraph

SMOOTH = (aten.hardswish.default, aten.silu.default)  # activations that TensorRT does not fuse into a convolution
NARROW = 16  # TensorRT runs an int8 convolution of fewer channels slower than a float one


def rounded_for_tensorrt(graph: QuantizedGraph) -> onnx.ModelProto:
    """Rounded everywhere but on gates and what they gate, on a residual's new branch, and in narrow convolutions.

    TensorRT fuses a residual sum only when the skip alone is quantised, and keeps squeeze-excite products in float.
    """
    return graph.rounded_where(_tensorrt_takes, narrow=NARROW) if graph.quantized else graph.reference


def _tensorrt_takes(node: Node) -> bool:
    if feeds_convolution(node) or is_output(node):
        return True
    if not is_convolution(node):
        return False
    return _is_projection(node) or any(reader.target in SMOOTH for reader in _readers(node))


def _is_projection(convolution: Node) -> bool:
    """Whether it is the skip of a residual sum: the other side takes longer from where the convolution starts."""
    sums = [reader for reader in _readers(convolution) if reader.target is aten.add.Tensor]
    others = [side for total in sums for side in total.all_input_nodes if _seen_through(side) is not convolution]
    return any(convolution.args[0] in _ancestors(side) for side in others)


def _seen_through(node: Node) -> Node:
    """The tensor behind fake quantisers."""
    return _seen_through(node.all_input_nodes[0]) if node.op == "call_module" else node


def _ancestors(node: Node) -> set[Node]:
    """Everything that a tensor is computed from."""
    ancestors: set[Node] = set()
    stack = [node]
    while stack:
        fresh = set(stack.pop().all_input_nodes) - ancestors
        ancestors |= fresh
        stack += fresh
    return ancestors


def _readers(node: Node) -> Iterator[Node]:
    """What reads a tensor, fake quantisers looked through."""
    for user in node.users:
        yield from _readers(user) if user.op == "call_module" else (user,)
