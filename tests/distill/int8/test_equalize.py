"""Evened-out channels: the same function, and int8 that loses far less of it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from distill import students
from distill.int8.equalize import equalize, joints
from distill.int8.graph import flatten, tensor_name
from distill.int8.magnitudes import largest
from distill.int8.quantize import prepare, stop_observing

TILE = (64, 64)
Build = Callable[..., nn.Module]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(6, 1, *TILE, generator=torch.Generator().manual_seed(1))


class Chain(nn.Module):
    """What an inverted bottleneck begins with; one channel is ``size`` times as large, which the next layer undoes."""

    def __init__(self, size: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.stem, self.depthwise = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.mix = nn.Conv2d(16, 2, 1)
        with torch.no_grad():
            self.stem.bias.abs_()
            self.mix.weight.mul_(8)
            self.stem.weight[3] *= size
            self.stem.bias[3] *= size
            self.depthwise.weight[3] /= size

    def forward(self, image: Tensor) -> Tensor:
        return self.mix(self.depthwise(self.stem(image).relu()).relu())


def int8_error(graph: GraphModule, images: Tensor, expected: Tensor) -> float:
    prepared = prepare(graph).train()
    with torch.no_grad():
        prepared(images)
        stop_observing(prepared)
        return float((prepared.eval()(images).sigmoid() - expected).square().mean())


@pytest.mark.parametrize("family", students.names())
def test_every_family_computes_what_it_did(family: str, build: Build, images: Tensor):
    graph = flatten(build(family), TILE)
    with torch.no_grad():
        expected = graph(images)
        equalize(graph, images)
        torch.testing.assert_close(graph(images), expected, atol=1e-4, rtol=1e-4)


def test_a_channel_that_seldom_fires_does_not_take_the_range_when_it_does(images: Tensor):
    graph = flatten(Chain(), TILE)
    weight, bias = graph.get_parameter("stem.weight"), graph.get_parameter("stem.bias")
    with torch.no_grad():
        weight[5], bias[5] = 1.0, -8.5  # nine pixels of at most 1: silent on these images, 0.5 on a bright place
        equalize(graph, images)
        bright = torch.cat([images, torch.ones(1, 1, *TILE)])
        usual = largest(graph, images, [next(joints(graph)).tensor])
        seldom = largest(graph, bright, [next(joints(graph)).tensor])
    (before,), (after,) = usual.values(), seldom.values()
    assert before[5] == 0
    assert after[5] < 20 * before.max()


@pytest.mark.parametrize("size", [30.0, 300.0])
def test_an_outlying_channel_costs_int8_nothing_any_more(images: Tensor, size: float):
    even, graph = flatten(Chain(), TILE), flatten(Chain(size), TILE)
    with torch.no_grad():
        expected = even(images).sigmoid()
    before = int8_error(graph, images, expected)
    equalize(graph, images)
    after = int8_error(graph, images, expected)
    assert after < before / 3
    assert after < 1.1 * int8_error(even, images, expected)


def test_before_a_depthwise_convolution_every_channel_reaches_the_same(images: Tensor):
    graph = flatten(Chain(100.0), TILE)
    equalize(graph, images)
    joint = next(joints(graph))
    assert tensor_name(joint.tensor) == "student:relu"
    with torch.no_grad():
        seen = nn.functional.conv2d(images, graph.stem.weight, graph.stem.bias, padding=1).relu()
    largest = seen.amax((0, 2, 3))
    torch.testing.assert_close(largest / largest.max(), torch.ones(16), atol=1e-3, rtol=0)


def test_what_is_added_or_concatenated_is_left_alone(build: Build, images: Tensor):
    graph = flatten(build("efficientnet_lite0"), TILE)
    tensors = {tensor_name(joint.tensor) for joint in joints(graph)}
    assert "encoder.body.bn1.act:relu" in tensors
    assert not any(reader.target is not torch.ops.aten.conv2d.default for j in joints(graph) for reader in j.readers)
    weights = {name: value.clone() for name, value in graph.state_dict().items()}
    added = "encoder.body.blocks.1.1.conv_pwl"  # its output is added to what came in, and a skip of the decoder
    assert f"{added}:conv2d" not in tensors
    equalize(graph, images)
    columns = graph.state_dict()[f"{added}.weight"] / weights[f"{added}.weight"]
    torch.testing.assert_close(columns, columns[:1].expand_as(columns))  # each input channel by a factor, no output


def test_convolutions_that_share_their_weights_are_left_alone(images: Tensor):
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, image: Tensor) -> Tensor:
            return self.again(self.again(self.first(image).relu()).relu())

    graph = flatten(Shared(), TILE)
    assert list(joints(graph)) == []


def test_channels_that_are_never_alive_stay_finite(images: Tensor):
    graph = flatten(Chain(), TILE)
    with torch.no_grad():
        graph.stem.weight[:5] = 0.0
        graph.stem.bias[:5] = -1.0
        expected = graph(images)
        equalize(graph, images)
        assert all(bool(value.isfinite().all()) for value in graph.state_dict().values())
        torch.testing.assert_close(graph(images), expected)
