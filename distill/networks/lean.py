"""A U-Net that ends before full resolution: its last convolution makes all pixels of a block at once.

The stages at full resolution cost a stock U-Net more than half of its multiply-adds. Here the decoder ends at
``head_stride``, and a sub-pixel convolution (Shi et al. 2016, arXiv 1609.05158, eq. 4) makes head_stride^2 logits of
each output from every place it has. Activations are ReLU, the one that fuses into an int8 convolution everywhere.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import nn
from torch.nn.functional import interpolate, relu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from distill.networks.spec import StudentSpec


class Encoder(Protocol):
    """What a lean U-Net stands on.

    channels : of its features, finest first; the first is at half of the resolution, each next at half of the last
    """

    channels: tuple[int, ...]

    def __call__(self, image: Tensor) -> Sequence[Tensor]:
        """(N, C, h, w) to the features (N, channels[i], h / 2^(i+1), w / 2^(i+1))."""
        ...


class LeanUNet(nn.Module):
    """The channels of ``spec`` in, one logit per output out, through an encoder of ``spec.depth`` features."""

    def __init__(self, encoder: nn.Module, spec: StudentSpec) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(cast("Encoder", encoder).channels, spec.decoder, separable=spec.separable)
        self.head, self.block = sub_pixel(spec)

    def forward(self, image: Tensor) -> Tensor:
        """See StudentFamily.build."""
        return self.block(self.head(self.decoder(self.encoder(image))))


class Decoder(nn.Module):
    """Stages from the deepest feature up to the one at the head's resolution."""

    def __init__(self, features: Sequence[int], widths: Sequence[int], *, separable: bool) -> None:
        super().__init__()
        skips = list(reversed(features[:-1]))[: len(widths)]
        below = (features[-1], *widths)
        self.stages = nn.ModuleList(
            DecoderStage(deep, skip, width, separable=separable)
            for (deep, width), skip in zip(pairwise(below), skips, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features, finest first -> (N, widths[-1], h, w)."""
        *skips, found = features
        for stage, skip in zip(self.stages, reversed(skips), strict=False):
            found = stage(found, skip)
        return found


class DecoderStage(nn.Module):
    """Nearest-neighbour upsampling, concatenation with the encoder's feature, two convolutions."""

    def __init__(self, deep: int, skip: int, width: int, *, separable: bool) -> None:
        super().__init__()
        # What comes from below is made narrow before it is made large: four pixels for the price of one.
        self.narrow = convolution(deep, width, 1) if deep > width else nn.Identity()
        self.mix = convolution(min(deep, width) + skip, width, 3, separable=separable)
        self.smooth = convolution(width, width, 3, separable=separable)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """(N, deep, h, w) and (N, skip, 2h, 2w) -> (N, width, 2h, 2w)."""
        above = interpolate(self.narrow(deep), scale_factor=2.0, mode="nearest")
        return self.smooth(self.mix(torch.cat([above, skip], 1)))


def sub_pixel(spec: StudentSpec) -> tuple[nn.Conv2d, nn.PixelShuffle]:
    """The last convolution of a student, and what puts its logits into their places."""
    return nn.Conv2d(spec.decoder[-1], len(spec.outputs) * spec.head_stride**2, 1), nn.PixelShuffle(spec.head_stride)


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, separable: bool = False, active: bool = True
) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; depthwise and then pointwise where it is separable."""
    layers: list[nn.Module] = []
    if separable:
        layers += [
            nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
        ]
        kernel, stride = 1, 1
    layers += [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if active else []))


class ResidualBlock(nn.Module):
    """Two convolutions whose output is added to the input (He et al. 2016, arXiv 1512.03385, fig. 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width, 3)
        self.second = convolution(width, width, 3, active=False)

    def forward(self, image: Tensor) -> Tensor:
        """(N, width, h, w), the same out."""
        return relu(image + self.second(self.first(image)))
