"""The foreground's probabilities become those of the labels; the core and the codes of int8 stay as they are."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from distill.datasets import Sample
from distill.int8.graph import flatten
from distill.int8.quantize import prepare, stop_observing, weight_codes
from distill.networks.spec import StudentSpec
from distill.training.calibration import calibrate
from runtime.artifact.manifest import Normalization

WHOLE = Normalization(low=0.0, high=100.0)
Spec, Build = Callable[..., StudentSpec], Callable[..., nn.Module]


def graph_of(spec: StudentSpec, build: Build) -> GraphModule:
    """A random student whose foreground logits spread over some units."""
    torch.manual_seed(3)
    graph = flatten(build(spec.family, head_stride=spec.head_stride, decoder=spec.decoder), spec.tile)
    with torch.no_grad():
        weight, bias = head(graph)
        half = len(weight) // 2
        weight[:half] *= 6
        bias[:half] -= graph(noise(spec))[:, 0].median()
    return graph


def head(graph: GraphModule) -> tuple[Tensor, Tensor]:
    """Weight and bias of the last convolution."""
    weights = [name for name, _ in graph.named_parameters() if name.endswith(".weight")]
    return graph.get_parameter(weights[-1]), graph.get_parameter(weights[-1].removesuffix("weight") + "bias")


def noise(spec: StudentSpec, seed: int = 0) -> Tensor:
    return torch.rand(1, 1, *spec.tile, generator=torch.Generator().manual_seed(seed))


def samples(graph: nn.Module, spec: StudentSpec, temperature: float) -> list[Sample]:
    """Frames whose labels are as sure as the student's logits divided by ``temperature`` say."""
    chance, made = np.random.default_rng(1), []
    for seed in range(8):
        tile = noise(spec, seed)
        with torch.no_grad():
            sure = torch.sigmoid(graph(tile)[0, 0] / temperature).numpy()
        labels = (chance.random(sure.shape) < sure).astype(np.int32)
        made.append(Sample(str(seed), tile[0].numpy(), ("nucleus",), {"nuclei": labels}))
    return made


@pytest.fixture
def coarse(spec: Spec) -> StudentSpec:
    """The spec of a student whose head works at a quarter of the resolution."""
    return spec("mobilenetv3", head_stride=4, decoder=(8, 8, 8), normalization=WHOLE)


@pytest.mark.parametrize("head_stride", [1, 4])
def test_the_temperature_of_the_labels_is_found_and_applied(
    spec: Spec, coarse: StudentSpec, build: Build, head_stride: int
):
    made = coarse if head_stride == 4 else spec("mobilenetv3", head_stride=1, decoder=(8,) * 5, normalization=WHOLE)
    graph = graph_of(made, build)
    with torch.no_grad():
        before = graph(noise(made))
        found = calibrate(graph, made, samples(graph, made, 2.0), "nuclei")
        after = graph(noise(made))
    assert found.temperature == pytest.approx(2.0, abs=0.4)  # as far as 5,000 drawn pixels tell it
    assert found.cross_entropy < found.cross_entropy_before
    torch.testing.assert_close(after[:, 0], before[:, 0] / found.temperature, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after[:, 1], before[:, 1], atol=0, rtol=0)


def test_a_student_that_is_not_too_sure_stays_as_it_is(coarse: StudentSpec, build: Build):
    graph = graph_of(coarse, build)
    weights = {name: tensor.clone() for name, tensor in graph.state_dict().items()}
    found = calibrate(graph, coarse, samples(graph, coarse, 0.6), "nuclei")
    assert found.temperature == pytest.approx(1.0, abs=0.05)
    for name, tensor in graph.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], atol=0, rtol=0.06)


def test_int8_computes_with_the_same_codes(coarse: StudentSpec, build: Build):
    prepared = prepare(graph_of(coarse, build)).train()
    with torch.no_grad():
        prepared(noise(coarse))
    stop_observing(prepared)
    prepared.eval()
    codes = weight_codes(head(prepared)[0].detach())
    found = calibrate(prepared, coarse, samples(prepared, coarse, 2.5), "nuclei")
    assert found.temperature > 2
    changed = weight_codes(head(prepared)[0].detach()) != codes
    assert changed.float().mean() <= 0.01  # a weight on the border of two codes


def test_where_more_follows_the_last_convolution_nothing_is_changed(spec: Spec):
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Conv2d(1, 2, 1)

        def forward(self, tile: Tensor) -> Tensor:
            return self.head(tile) * 2.0

    made = spec("plain")
    graph = flatten(Doubled(), made.tile)
    kept = head(graph)[0].detach().clone()
    assert calibrate(graph, made, samples(graph, made, 3.0), "nuclei").temperature == 1.0
    torch.testing.assert_close(head(graph)[0].detach(), kept, atol=0, rtol=0)
