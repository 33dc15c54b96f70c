"""Lean U-Net on a small residual encoder of plain 3x3 convolutions (He et al. 2016, arXiv 1512.03385, fig. 2).

Depthwise convolutions save multiply-adds that int8 hardware does not wait for; plain ones of some width run at its
roof. So this encoder is shallow, and no wider than what a nucleus looks like needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from distill.lean import Block, LeanUNet, convolution

if TYPE_CHECKING:
    from torch import Tensor

    from distill.spec import StudentSpec

BLOCKS = 2  # residual blocks of a stage
WIDTHS = (16, 32, 64, 128, 192)


class PlainEncoder(nn.Module):
    """A strided convolution a stage, residual blocks from a quarter of the resolution on. See distill.lean.Encoder."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = widths
        self.stages = nn.ModuleList()
        for number, (before, width) in enumerate(pairwise((inputs, *widths))):
            blocks = [Block(width) for _ in range(BLOCKS if number > 1 else number)]
            self.stages.append(nn.Sequential(convolution(before, width, 3, 2), *blocks))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, h, w) -> features (N, widths[i], h / 2^(i+1), w / 2^(i+1))."""
        features = []
        for stage in self.stages:
            image = stage(image)
            features.append(image)
        return features


@dataclass(frozen=True)
class Plain:
    """The fastest student: what is left when every operation must run at the roof of int8 hardware."""

    name: str = "plain"
    paper_parameters_m: float | None = None
    stride: int = 32
    no_int8: str | None = None
    head_strides: tuple[int, ...] = (2, 4)
    encoder_from: int | None = 2

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build. spec.encoder gives the widths of the stages, finest first."""
        return LeanUNet(PlainEncoder(len(spec.channels), spec.encoder or WIDTHS[: spec.depth]), spec)


STUDENT = Plain()
