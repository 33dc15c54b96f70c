"""Quantisation-aware training: the QuantScheme as fake quantisation inside a student's graph.

Symmetric int8 everywhere, zero-point 0. Weights: one scale per output channel, amax / 63. Activations: one scale
per tensor, amax / 127 of a moving average, range [-128, 127]; tensors that meet in a concatenation, and whatever
only passes values on (resize, pad, pool), share one. Scales are rounded up to values that fp16 holds exactly, so
that an engine that stores them in half precision uses the same numbers (after Jacob et al. 2018, arXiv 1712.05877).

Codes of weights stay within 63 (7 bits). A processor without VNNI instructions adds two products of an unsigned
activation and a weight in 16 bits, and cuts the sum off at 32,767: 255 * 63 * 2 = 32,130 fits, 255 * 127 * 2 does not.
With codes up to 127 OpenVINO was wrong by up to 0.95 in a probability on such a processor (Intel Core before the 11th
generation, AMD before Zen 4). The bit that is given up costs under 0.1 points of Dice before the int8 phase.

Every tensor that an all-integer backend must store gets a scale here, also those that other backends keep in float:
the student is trained on the coarsest arithmetic it will meet.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from distill.int8.graph import PASS_THROUGH, aten, is_convolution, tensor_name
from runtime.artifact.manifest import QuantScheme
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch.fx import GraphModule, Node

ACTIVATION_MIN, ACTIVATION_MAX = QuantScheme.activation_range
WEIGHT_MIN, WEIGHT_MAX = QuantScheme.weight_range
SMALLEST_SCALE = 2.0**-14  # the smallest normal fp16 number
LOGIT_SCALE = 2.0**-4  # logits are cut at -8 and 7.94: probabilities from 0.0003 to 0.9996
AVERAGING = 0.05  # weight of the newest batch in the moving average of an activation's largest value


def half_exact(scale: Tensor) -> Tensor:
    """Round positive scales up to the next value that fp16 holds exactly, at least 2^-14."""
    mantissa, exponent = torch.frexp(scale.float())
    return torch.ldexp(torch.ceil(mantissa * 2048) / 2048, exponent).clamp_min(SMALLEST_SCALE)


UNIT_SCALE = float(half_exact(torch.tensor(1 / 127)))  # for values in [0, 1]: tiles and gates


def weight_scales(weight: Tensor) -> Tensor:
    """One scale per output channel, shape (O,), of a convolution weight (O, I, kh, kw)."""
    return half_exact(weight.detach().abs().amax(dim=(1, 2, 3)) / WEIGHT_MAX)


def to_codes(values: Tensor, scale: Tensor, least: int, most: int) -> Tensor:
    """The int8 codes of float values, as floats: the only place that decides them, in training and in every export.

    This is ONNX's QuantizeLinear with zero-point 0: values / scale, rounded half to even, clipped to [least, most].
    Division and rounding are exact by IEEE 754, so every processor finds the same codes. torch's own fake quantisation
    multiplies by 1 / scale, which is rounded itself and moves values near a tie to the other code.

    scale : broadcasts against ``values``; positive
    """
    return _nearest(values, scale).clamp_(least, most)


def _nearest(values: Tensor, scale: Tensor) -> Tensor:
    return torch.div(values, scale).round_()


def weight_codes(weight: Tensor) -> Tensor:
    """The codes of a convolution weight (O, I, kh, kw) at its weight_scales: whole floats in [-63, 63]."""
    return to_codes(weight.detach(), _per_output(weight_scales(weight)), WEIGHT_MIN, WEIGHT_MAX)


def fake_quantize_weight(weight: Tensor) -> Tensor:
    """Round a convolution weight to its int8 grid; the gradient passes straight through."""
    return _on_grid(weight, _per_output(weight_scales(weight)), WEIGHT_MIN, WEIGHT_MAX)


def _per_output(scales: Tensor) -> Tensor:
    return scales.reshape(-1, 1, 1, 1)


class _StraightThrough(torch.autograd.Function):
    """Values -> codes * scale; the gradient passes where the code was not clipped (Jacob et al. 2018, section 3)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, least: int, most: int) -> Tensor:
        nearest = _nearest(values, scale)
        codes = nearest.clamp(least, most)
        ctx.save_for_backward(nearest == codes)
        return codes.mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None, None


def _on_grid(values: Tensor, scale: Tensor, least: int, most: int) -> Tensor:
    """Values of any shape, rounded to codes * scale."""
    return cast("Tensor", _StraightThrough.apply(values, scale, least, most))


class FakeQuantize(nn.Module):
    """Round a tensor to int8 codes times one scale, following its largest value while ``observing``.

    scale : given for tensors of known range (then nothing is learnt), else 0 until data was seen
    """

    amax: Tensor
    scale: Tensor

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.observing = scale is None
        self.register_buffer("amax", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(scale or 1.0))

    def forward(self, tensor: Tensor) -> Tensor:
        """Tensor of any shape; returns the same shape with values on the int8 grid."""
        if self.observing and self.training:
            self._observe(tensor.detach())
        return _on_grid(tensor, self.scale, ACTIVATION_MIN, ACTIVATION_MAX)

    def _observe(self, tensor: Tensor) -> None:
        largest = tensor.abs().amax().float()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)  # one scale for all processes
        seen = self.amax > 0
        self.amax.copy_(torch.where(seen, torch.lerp(self.amax, largest, AVERAGING), largest))
        self.scale.copy_(half_exact(self.amax / ACTIVATION_MAX))


def prepare(graph: GraphModule) -> GraphModule:
    """A trainable copy of a flat graph (distill.int8.graph.flatten) that computes as int8 would.

    Its ``state_dict`` holds the graph's own keys and, under ``quantizers.``, the scales.
    """
    graph = copy_of(graph)
    groups = tied_tensors(graph)
    graph.add_submodule("quantizers", nn.ModuleDict())
    for node in list(graph.graph.nodes):
        if is_convolution(node):
            _quantize_weight(graph, node)
        if is_stored(node):
            _quantize_output(graph, node, groups[tensor_name(node)])
    graph.graph.lint()
    graph.recompile()
    return graph


def copy_of(graph: GraphModule) -> GraphModule:
    """A deep copy of a graph, without the warning that torch gives about its own description of the arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return copy.deepcopy(graph)


def stop_observing(graph: GraphModule) -> None:
    """Keep the scales as they are from here on."""
    for quantizer in quantizers(graph).values():
        quantizer.observing = False


def scheme_of(graph: GraphModule) -> QuantScheme:
    """The scales of a prepared graph, one for every tensor by name; members of a group repeat theirs."""
    found = quantizers(graph)
    groups = tied_tensors(graph)
    scales = {name: float(found[group].scale) for name, group in groups.items() if group in found}
    return QuantScheme(activations=dict(sorted(scales.items())))


def apply_scheme(graph: GraphModule, scheme: QuantScheme) -> None:
    """Set a prepared graph's scales from ``scheme`` and stop observing; InputError where the two do not fit."""
    found = quantizers(graph)
    groups = {name: group for name, group in tied_tensors(graph).items() if group in found}
    _check_scheme(groups, scheme)
    for group, quantizer in found.items():
        quantizer.scale.fill_(scheme.activations[group])
    stop_observing(graph)


def _check_scheme(groups: Mapping[str, str], scheme: QuantScheme) -> None:
    """groups : every tensor that has a scale, and the group it belongs to."""
    ranges = (scheme.activation_range, scheme.weight_range)
    if ranges != (due := ((ACTIVATION_MIN, ACTIVATION_MAX), (WEIGHT_MIN, WEIGHT_MAX))):
        msg = f"The scheme rounds to {ranges} (activations, weights); this edgescope computes in {due} alone."
        raise InputError(msg)
    scales = scheme.activations
    if missing := [name for name in groups if name not in scales]:
        msg = f"The scheme has no scale for tensor {_named(missing)}; it was changed, or belongs to another student."
        raise InputError(msg)
    if extra := [name for name in scales if name not in groups]:
        msg = f"The scheme has a scale for {_named(extra)}, which the student does not have; take it out of the scheme."
        raise InputError(msg)
    for name, group in groups.items():
        if scales[name] != scales[group]:
            msg = (
                f"The scheme gives {name} the scale {scales[name]:g} and {group} the scale {scales[group]:g}; values "
                "that are laid side by side or handed on have one scale: give both the same."
            )
            raise InputError(msg)


def _named(tensors: list[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(repr(name) for name in tensors[:most])
    return shown if len(tensors) <= most else f"{shown} and {len(tensors) - most} more"


def quantizers(graph: GraphModule) -> dict[str, FakeQuantize]:
    """The activation quantisers of a prepared graph, by the name of their tensor group."""
    found: dict[str, FakeQuantize] = {}
    for node in graph.graph.nodes:
        if "group" in node.meta and node.op == "call_module":
            found[node.meta["group"]] = cast("FakeQuantize", graph.get_submodule(node.target))
    return found


def tied_tensors(graph: GraphModule) -> dict[str, str]:
    """Map every tensor that int8 backends store to its group: tensors of one group share one scale.

    A group is called after the tensor that comes first in the order of execution.
    """
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    order: dict[str, int] = {}
    for node in graph.graph.nodes:
        if "tensor" not in node.meta or not (is_stored(node) or is_pass_through(node)):
            continue
        name = tensor_name(node)
        order[name] = len(order)
        parent[name] = name
        if is_pass_through(node):
            for source in _sources(node):
                first, second = sorted((find(name), find(tensor_name(source))), key=order.__getitem__)
                parent[second] = first
    return {name: find(name) for name in parent}


def is_pass_through(node: Node) -> bool:
    """Whether ``node`` only hands on values of its inputs."""
    return node.op == "call_function" and node.target in PASS_THROUGH


def is_stored(node: Node) -> bool:
    """Whether an all-integer backend stores the tensor that ``node`` makes, with a scale of its own.

    Not stored: what is fused away (a convolution or a sum before its ReLU, a convolution before its hard-sigmoid),
    what passes values on, and sigmoid gates, for which integer backends have a fixed format.
    """
    if node.op == "placeholder":
        return True
    if node.op != "call_function" or "tensor" not in node.meta or is_pass_through(node):
        return False
    if node.target is aten.sigmoid.default:
        return False
    return not _is_fused(node)


def feeds_convolution(node: Node) -> bool:
    """Whether a convolution reads this tensor as its input, possibly through pass-through operations."""
    return any(
        (is_convolution(user) and user.args[0] is node)
        or ((is_pass_through(user) or user.op == "call_module") and feeds_convolution(user))
        for user in node.users
    )


def is_output(node: Node) -> bool:
    """Whether the tensor is what the graph returns (the logits), possibly in another order."""
    return any(
        user.op == "output" or ((user.op == "call_module" or is_pass_through(user)) and is_output(user))
        for user in node.users
    )


def _is_fused(node: Node) -> bool:
    readers = [reader.target for reader in node.users]
    if is_convolution(node):
        return readers in ([aten.relu.default], [aten.hardsigmoid.default])
    return node.target is aten.add.Tensor and readers == [aten.relu.default]


def _sources(node: Node) -> Iterator[Node]:
    """The named tensors that a pass-through operation reads, fake quantisers looked through."""
    for source in node.all_input_nodes:
        while "tensor" not in source.meta and source.op == "call_module":
            source = source.all_input_nodes[0]
        yield source


def _quantize_weight(graph: GraphModule, convolution: Node) -> None:
    weight = cast("Node", convolution.args[1])
    with graph.graph.inserting_before(convolution):
        rounded = graph.graph.call_function(fake_quantize_weight, (weight,))
    convolution.update_arg(1, rounded)


def _quantize_output(graph: GraphModule, node: Node, group: str) -> None:
    modules = cast("nn.ModuleDict", graph.quantizers)
    key = group.replace(".", "/")
    if key not in modules:
        modules[key] = FakeQuantize(_known_scale(node))
    with graph.graph.inserting_after(node):
        rounded = graph.graph.call_module(f"quantizers.{key}", (node,))
    rounded.meta["group"] = group
    node.replace_all_uses_with(rounded, delete_user_cb=lambda user: user is not rounded)


def _known_scale(node: Node) -> float | None:
    if node.op == "placeholder" or node.target is aten.hardsigmoid.default:
        return UNIT_SCALE
    return LOGIT_SCALE if is_output(node) else None
