"""The layers of a student as int8 sees them: which roundings belong to which convolution.

A layer is a convolution, by its name in the ONNX graph. To it belong the rounding of its weight, of the tensor that it
reads, and of those tensors that come from it and that no convolution reads (a sum's summand, a gate, the logits).
Tensors are named by their group: those of one group share a scale, and are rounded together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.int8.graph import convolutions, is_convolution, tensor_name
from distill.int8.quantize import is_stored, tied_tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch.fx import GraphModule, Node


@dataclass(frozen=True)
class Layer:
    """A convolution and its tensors.

    reads : the group of its input
    writes : the group of its output, an activation that is fused into it included; None where that is not stored
    ends : groups that come from it and that no convolution reads
    """

    name: str
    reads: str
    writes: str | None
    ends: frozenset[str]

    @property
    def tensors(self) -> frozenset[str]:
        """The groups that belong to this layer."""
        return self.ends | {self.reads}


@dataclass(frozen=True)
class Floats:
    """What is not rounded: groups of tensors, and convolutions by name, whose weights stay float."""

    tensors: frozenset[str] = frozenset()
    convolutions: frozenset[str] = frozenset()


ROUND_ALL = Floats()


def layer_name(convolution: Node) -> str:
    """What a convolution is called in the ONNX graph, in reports and in messages."""
    return tensor_name(convolution).removesuffix(":conv2d")


def layers_of(graph: GraphModule) -> tuple[Layer, ...]:
    """The layers of a flat graph (distill.int8.graph.flatten, not the prepared one), in order of execution."""
    groups = tied_tensors(graph)
    found = convolutions(graph)
    read = {groups[tensor_name(node.all_input_nodes[0])] for node in found}
    ends: dict[Node, set[str]] = {node: set() for node in found}
    order = {node: position for position, node in enumerate(found)}
    for node in graph.graph.nodes:
        if is_stored(node) and node.op != "placeholder" and (group := groups[tensor_name(node)]) not in read:
            ends[max(_sources(node), key=order.__getitem__)].add(group)
    return tuple(
        Layer(
            layer_name(node),
            groups[tensor_name(node.all_input_nodes[0])],
            groups.get(_made(node)),
            frozenset(ends[node]),
        )
        for node in found
    )


def kept_in_float(layers: Sequence[Layer], names: Iterable[str]) -> Floats:
    """What has to stay float so that the named layers do.

    A backend of integers computes an operation as a whole in int8 or in float. So a convolution that reads or writes a
    float tensor is one in float, on every target alike.
    """
    chosen = frozenset(names)
    tensors = frozenset(tensor for layer in layers if layer.name in chosen for tensor in layer.tensors)
    return Floats(tensors, chosen | {layer.name for layer in layers if {layer.reads, layer.writes} & tensors})


def members(graph: GraphModule, groups: frozenset[str]) -> frozenset[str]:
    """The names of all tensors of these groups."""
    return frozenset(name for name, group in tied_tensors(graph).items() if group in groups)


def _made(convolution: Node) -> str:
    """The tensor that a convolution hands on: its own, or that of the activation which is fused into it."""
    if is_stored(convolution):
        return tensor_name(convolution)
    return tensor_name(next(iter(convolution.users)))


def _sources(node: Node) -> set[Node]:
    """The convolutions that a tensor comes from, up to the nearest on every way."""
    found: set[Node] = set()
    stack, seen = [node], {node}
    while stack:
        one = stack.pop()
        if is_convolution(one):
            found.add(one)
            continue
        fresh = set(one.all_input_nodes) - seen
        seen |= fresh
        stack += fresh
    return found
