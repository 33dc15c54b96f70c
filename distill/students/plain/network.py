"""The network of the family plain."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from distill.networks.lean import LeanUNet, ResidualBlock, convolution

if TYPE_CHECKING:
    from torch import Tensor

    from distill.networks.spec import StudentSpec

BLOCKS = 2  # residual blocks of a stage
WIDTHS = (16, 32, 64, 128, 192)


class PlainEncoder(nn.Module):
    """A strided convolution a stage, residual blocks from a quarter of the resolution on. See
    distill.networks.lean.Encoder."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = widths
        self.stages = nn.ModuleList()
        for number, (before, width) in enumerate(pairwise((inputs, *widths))):
            blocks = [ResidualBlock(width) for _ in range(BLOCKS if number > 1 else number)]
            self.stages.append(nn.Sequential(convolution(before, width, 3, 2), *blocks))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, h, w) -> features (N, widths[i], h / 2^(i+1), w / 2^(i+1))."""
        features = []
        for stage in self.stages:
            image = stage(image)
            features.append(image)
        return features


def build(spec: StudentSpec) -> LeanUNet:
    """See StudentFamily.build. spec.encoder gives the widths of the stages, finest first."""
    return LeanUNet(PlainEncoder(len(spec.channels), spec.encoder or WIDTHS[: spec.depth]), spec)
