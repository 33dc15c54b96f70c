"""The first stages of an encoder of timm: as many as are asked for, and nothing behind them."""

import pytest
import timm
import torch
from torch import nn

from distill.networks.timm_features import TimmFeatures


def published(name: str, depth: int) -> nn.Module:
    return timm.create_model(name, features_only=True, pretrained=False, in_chans=1, out_indices=tuple(range(depth)))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
@pytest.mark.parametrize("depth", [2, 4, 5])
def test_each_feature_has_half_of_the_last_ones_resolution(name: str, depth: int):
    with torch.device("meta"):
        encoder = TimmFeatures(name, 1, depth)
        features = encoder(torch.zeros(1, 1, 64, 96))
    sizes = [(1, width, 64 >> step, 96 >> step) for step, width in enumerate(encoder.channels, start=1)]
    assert [tuple(feature.shape) for feature in features] == sizes
    assert len(features) == depth


@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_stages_that_no_feature_needs_are_left_out(depth: int):
    """Each parameter that is left has a say in the deepest feature."""
    with torch.device("meta"):
        whole = sum(p.numel() for p in published("efficientnet_lite0", depth).parameters())
    encoder = TimmFeatures("efficientnet_lite0", 1, depth)
    encoder(torch.rand(2, 1, 32, 32))[-1].square().sum().backward()
    left = list(encoder.parameters())
    assert all(parameter.grad is not None for parameter in left)
    assert (sum(p.numel() for p in left) < whole) == (depth < 5)


def test_what_is_left_computes_what_the_whole_did():
    torch.manual_seed(0)
    whole = published("efficientnet_lite0", 3).eval()
    part = TimmFeatures("efficientnet_lite0", 1, 3).eval()
    part.body.load_state_dict({name: whole.state_dict()[name] for name in part.body.state_dict()})
    tile = torch.rand(1, 1, 32, 32)  # activations of a fresh network stay below the 6 of ReLU6
    with torch.no_grad():
        for ours, theirs in zip(part(tile), whole(tile), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_no_activation_is_bounded():
    kinds = {type(module) for module in TimmFeatures("efficientnet_lite0", 1, 5).modules()}
    assert nn.ReLU in kinds
    assert nn.ReLU6 not in kinds
