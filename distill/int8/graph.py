"""A student as one flat graph of tensor operations, batch normalisation folded into the convolutions.

Training in quantised form, ONNX and TFLite all start from this graph, so that what is trained is what is lowered.
Tensors are named after the module that makes them (``decoder.blocks.0.conv1.0:relu``): the names in a
QuantScheme, in reports and in messages are these, whatever a tracer calls its nodes.
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import TYPE_CHECKING, cast

import torch
from torch.fx import GraphModule, Node

if TYPE_CHECKING:
    from torch import Tensor, nn

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv2d.default,)
# Operations whose output holds nothing but values of their inputs: one scale serves both ends.
PASS_THROUGH = (
    aten.cat.default,
    aten.upsample_nearest2d.vec,
    aten.pixel_shuffle.default,
    aten.max_pool2d.default,
    aten.pad.default,
    aten.constant_pad_nd.default,
    aten.clone.default,
    aten.dropout.default,
)


def flatten(student: nn.Module, tile: tuple[int, int], channels: int = 1) -> GraphModule:
    """Trace ``student`` for tiles of ``tile`` pixels and fold its batch normalisation.

    student : module that maps (N, channels, h, w) float32 to logits (N, C, h, w)
    tile : (h, w), multiples of the student's stride
    Returns a trainable GraphModule for any N, whose ``state_dict`` keys are those of the student
    (``...weight`` and ``...bias`` of every convolution; no batch-norm entries).
    """
    return fold(trace(student, tile, channels))


def trace(student: nn.Module, tile: tuple[int, int], channels: int = 1) -> GraphModule:
    """The flat graph with its batch normalisation: all of the student's entries, by their names. It takes seconds."""
    example = torch.zeros(2, channels, *tile)
    with torch.no_grad():
        student.eval()(example)  # a student may fit itself to the size of its tiles; it must not while it is traced
    batch = torch.export.Dim.DYNAMIC(min=1, max=1024)
    with torch.no_grad():
        program = torch.export.export(student, (example,), dynamic_shapes=({0: batch},), strict=False)
    exported = program.module(check_guards=False)
    graph = GraphModule(exported, exported.graph)  # a plain one: the exported one refuses train() and eval()
    _make_functional(graph)
    _drop_empty_parts(graph)
    return graph


def fold(graph: GraphModule) -> GraphModule:
    """Fold the batch normalisation of a traced graph, in place, by the weights that it has now."""
    _fold_batch_norm(graph)
    _name_tensors(graph)
    graph.graph.eliminate_dead_code()
    _drop_unused(graph)
    graph.graph.lint()
    graph.recompile()
    return graph


def tensor_name(node: Node) -> str:
    """The lasting name of the tensor that ``node`` makes."""
    return cast("str", node.meta["tensor"])


def is_convolution(node: Node) -> bool:
    """Whether ``node`` is a two-dimensional convolution (of any grouping)."""
    return node.op == "call_function" and node.target in CONVOLUTIONS


def convolutions(graph: GraphModule) -> list[Node]:
    """The convolutions of ``graph``, in order of execution."""
    return [node for node in graph.graph.nodes if is_convolution(node)]


def groups_of(convolution: Node) -> int:
    """Into how many groups a convolution divides its channels."""
    return cast("int", convolution.args[6]) if len(convolution.args) > 6 else 1


def parameter(graph: GraphModule, node: Node) -> Tensor:
    """The tensor that a ``get_attr`` node stands for."""
    return cast("Tensor", operator.attrgetter(cast("str", node.target))(graph))


def _make_functional(graph: GraphModule) -> None:
    """Replace in-place activations (``relu_``): they would overwrite tensors that are recorded or shared."""
    for node in graph.graph.nodes:
        name = getattr(node.target, "_opname", "")
        if node.op == "call_function" and name.endswith("_") and not name.startswith("_"):
            packet = getattr(aten, name[:-1])
            node.target = getattr(packet, node.target._overloadname)


def _drop_empty_parts(graph: GraphModule) -> None:
    """Take tensors without channels out of concatenations.

    An encoder that starts at a quarter of the resolution has nothing to give at half of it, and gives that.
    """
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or node.target is not aten.cat.default:
            continue
        parts, axis = cast("list[Node]", node.args[0]), cast("int", node.args[1]) if len(node.args) > 1 else 0
        kept = [part for part in parts if part.meta["val"].shape[axis] != 0]
        if len(kept) == 1:
            node.replace_all_uses_with(kept[0])
            graph.graph.erase_node(node)
        else:
            node.update_arg(0, kept)


def _fold_batch_norm(graph: GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or node.target is not aten.batch_norm.default:
            continue
        convolution = node.args[0]
        if not (is_convolution(convolution) and len(convolution.users) == 1):
            msg = f"Batch normalisation {node.name} does not follow a convolution of its own; it cannot be folded."
            raise ValueError(msg)
        _fold_one(graph, convolution, node)
        node.replace_all_uses_with(convolution)
        graph.graph.erase_node(node)


def _fold_one(graph: GraphModule, convolution: Node, norm: Node) -> None:
    """y = gamma (conv(x) - mean) / sqrt(var + eps) + beta, written as one convolution."""
    gamma, beta, mean, variance = (parameter(graph, argument) for argument in norm.args[1:5])
    epsilon = cast("float", norm.args[7])
    path = cast("str", convolution.args[1].target).removesuffix(".weight")
    owner = graph.get_submodule(path)
    factor = (gamma.double() / torch.sqrt(variance.double() + epsilon)).detach()
    weight = owner.weight.detach().double() * factor.reshape(-1, 1, 1, 1)
    old_bias = convolution.args[2] if len(convolution.args) > 2 else None
    shift = 0.0 if old_bias is None else owner.bias.detach().double()
    bias = beta.detach().double() + (shift - mean.double()) * factor
    owner.weight = torch.nn.Parameter(weight.float())
    owner.bias = torch.nn.Parameter(bias.float())
    with graph.graph.inserting_before(convolution):
        bias_node = graph.graph.get_attr(f"{path}.bias")
    arguments = list(convolution.args) + [None] * (3 - len(convolution.args))
    arguments[2] = bias_node
    convolution.args = tuple(arguments)


def _drop_unused(graph: GraphModule) -> None:
    """Remove the parameters and buffers that nothing reads any more: the folded normalisation's."""
    used = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    for name, _ in [*graph.named_parameters(), *graph.named_buffers()]:
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(graph.get_submodule(owner), attribute)
    graph.delete_all_unused_submodules()


def _name_tensors(graph: GraphModule) -> None:
    seen: Counter[str] = Counter()
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            name = "input"
        elif node.op == "call_function":
            name = f"{_module_path(node)}:{getattr(node.target, '_opname', node.name)}"
        else:
            continue
        seen[name] += 1
        node.meta["tensor"] = name if seen[name] == 1 else f"{name}.{seen[name]}"


def _module_path(node: Node) -> str:
    if is_convolution(node):
        return cast("str", node.args[1].target).removesuffix(".weight")
    stack = node.meta.get("nn_module_stack") or {}
    path = list(stack.values())[-1][0] if stack else ""
    return path.removeprefix("L['self'].") or "student"
