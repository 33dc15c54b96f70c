"""The first stages of an encoder of timm, as features of half the resolution each."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import timm
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class TimmFeatures(nn.Module):
    """``depth`` features, finest first; what lies behind the last of them is left out.

    channels : of the features
    """

    def __init__(self, name: str, inputs: int, depth: int) -> None:
        super().__init__()
        self.body = timm.create_model(
            name, features_only=True, pretrained=False, in_chans=inputs, out_indices=tuple(range(depth))
        )
        self.channels = tuple(cast("list[int]", self.body.feature_info.channels()))
        _leave_out_unused(self.body, depth)
        _plain_activations(self.body)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, h, w) -> features (N, channels[i], h / 2^(i+1), w / 2^(i+1))."""
        return self.body(image)


def _leave_out_unused(body: nn.Module, depth: int) -> None:
    """timm keeps the stages behind the last feature; they would count as parameters and be saved."""
    if not hasattr(body, "blocks"):
        return
    last = body.feature_info[depth - 1]["stage"]
    body.blocks = body.blocks[:last]


def _plain_activations(module: nn.Module) -> None:
    """ReLU for ReLU6: the bound is learnt again as a scale, and int8 convolutions fuse it everywhere."""
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU6):
            setattr(module, name, nn.ReLU())
        else:
            _plain_activations(child)
