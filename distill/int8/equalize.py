"""Equalise the channels of a float student before it learns to compute in int8; what it computes stays the same.

An int8 tensor has one scale. Where one channel reaches 137 and the median channel 6, as after the first convolution
of an EfficientNet, most channels are left with a dozen of the 256 codes, and the quantisation-aware phase is spent on
winning back what that loses. A channel that is divided by a number and multiplied by it again in the convolution that
reads it, with nothing but a ReLU between, is the same function (Nagel et al. 2019, arXiv 1906.04721, eq. 7). The
numbers are those of Xiao et al. 2023, arXiv 2211.10438, eq. 4; a depthwise convolution has a scale for each channel's
weights, so there a channel is brought to the full range at no price.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, cast

import torch

from distill.int8.graph import aten, convolutions, groups_of, is_convolution, parameter
from distill.int8.magnitudes import largest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.fx import GraphModule, Node

log = logging.getLogger(__name__)

SMALLEST = 1e-3  # of the tensor's largest value: a channel that is never more than that is taken for this large
SELDOM = 1 / 8  # of the median channel: what looks smaller may just fire seldom, and must not overflow when it does
ALPHA = 0.5  # how much of the difference between channels goes into the weights that read them


class Joint(NamedTuple):
    """A convolution, the tensor that is read of it (itself, or its ReLU) and the convolutions that read that."""

    writer: Node
    tensor: Node
    readers: list[Node]


def equalize(graph: GraphModule, images: Tensor) -> None:
    """Even out the channels of every tensor between two convolutions of a flat student, in place.

    images : (N, C, h, w) float32 in [0, 1], training crops
    """
    found = list(joints(graph))
    sizes = largest(graph, images, [joint.tensor for joint in found])
    for joint in found:
        _apply(graph, joint, _factors(graph, joint, sizes[joint.tensor]))
    log.info("Equalised %d layers for int8", len(found))


def joints(graph: GraphModule) -> Iterator[Joint]:
    """Where one convolution is read by nothing but convolutions, with a ReLU between them or none.

    Left out: what is added or laid beside something else, which would have to be divided by the same numbers, and
    convolutions that share their weights.
    """
    uses = Counter(_weight_name(node) for node in convolutions(graph))
    for writer in convolutions(graph):
        users = list(writer.users)
        tensor = users[0] if len(users) == 1 and users[0].target is aten.relu.default else writer
        readers = list(tensor.users)
        if not readers or not all(_is_plain_reader(graph, reader, tensor) for reader in readers):
            continue
        if all(uses[_weight_name(node)] == 1 for node in (writer, *readers)):
            yield Joint(writer, tensor, readers)


def _factors(graph: GraphModule, joint: Joint, sizes: Tensor) -> Tensor:
    """What each channel is divided by, (C,), their geometric mean 1: the weights keep their order of magnitude."""
    least = torch.maximum(SELDOM * sizes.median(), SMALLEST * sizes.max().clamp_min(SMALLEST))
    factors = sizes.maximum(least)
    shared = [_weight(graph, reader) for reader in joint.readers if not _is_depthwise(graph, reader)]
    if shared:
        read = torch.stack([_reach(weight) for weight in shared]).amax(0)
        factors = factors**ALPHA / read.clamp_min(SMALLEST) ** (1 - ALPHA)
    return factors / factors.log().mean().exp()


def _reach(weight: Tensor) -> Tensor:
    """Of each input channel, its largest weight as a share of the largest one of the same output channel, (C,)."""
    rows = weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight.abs() / rows).amax((0, 2, 3))


def _apply(graph: GraphModule, joint: Joint, factors: Tensor) -> None:
    with torch.no_grad():
        _weight(graph, joint.writer).div_(factors.reshape(-1, 1, 1, 1))
        if len(joint.writer.args) > 2 and joint.writer.args[2] is not None:
            parameter(graph, cast("Node", joint.writer.args[2])).div_(factors)
        for reader in joint.readers:
            shape = (-1, 1, 1, 1) if _is_depthwise(graph, reader) else (1, -1, 1, 1)
            _weight(graph, reader).mul_(factors.reshape(shape))


def _weight_name(convolution: Node) -> str:
    return cast("str", cast("Node", convolution.args[1]).target)


def _weight(graph: GraphModule, convolution: Node) -> Tensor:
    return parameter(graph, cast("Node", convolution.args[1]))


def _is_plain_reader(graph: GraphModule, reader: Node, tensor: Node) -> bool:
    """Whether a node is a convolution of the tensor, one whose channels are all alike or each on its own."""
    if not (is_convolution(reader) and reader.args[0] is tensor):
        return False
    return groups_of(reader) == 1 or _is_depthwise(graph, reader)


def _is_depthwise(graph: GraphModule, convolution: Node) -> bool:
    """Whether each input channel makes one output channel of its own."""
    return _weight(graph, convolution).shape[0] == groups_of(convolution) > 1
