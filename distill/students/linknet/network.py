"""The network of the family linknet."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.functional import interpolate

from distill.networks.lean import ResidualBlock, convolution, sub_pixel

if TYPE_CHECKING:
    from torch import Tensor

    from distill.networks.spec import StudentSpec

BLOCKS = 2  # residual blocks of a stage below the first
WIDTHS = (32, 48, 96, 192)
PATCH = 7  # pixels a side that the first convolution sees


class LinkNet(nn.Module):
    """The channels of ``spec`` in, one logit per output out."""

    def __init__(self, spec: StudentSpec) -> None:
        super().__init__()
        widths = spec.encoder or WIDTHS[: len(spec.decoder) + 1]
        first = convolution(len(spec.channels), widths[0], PATCH, 4)
        self.encoder = nn.ModuleList([first, *(_stage(*pair) for pair in pairwise(widths))])
        below, beside = (widths[-1], *spec.decoder), reversed(widths[:-1])
        self.decoder = nn.ModuleList(
            LinkStage(*pair, skip, separable=spec.separable) for pair, skip in zip(pairwise(below), beside, strict=True)
        )
        self.head, self.block = sub_pixel(spec)

    def forward(self, image: Tensor) -> Tensor:
        """See StudentFamily.build."""
        found, features = image, []
        for stage in self.encoder:
            found = stage(found)
            features.append(found)
        for link, feature in zip(self.decoder, reversed(features[:-1]), strict=True):
            found = link(found, feature)
        return self.block(self.head(found))


def _stage(before: int, width: int) -> nn.Sequential:
    return nn.Sequential(convolution(before, width, 3, 2), *(ResidualBlock(width) for _ in range(BLOCKS)))


class LinkStage(nn.Module):
    """What comes from below, enlarged, plus the encoder's feature, and two convolutions."""

    def __init__(self, deep: int, width: int, skip: int, *, separable: bool) -> None:
        super().__init__()
        self.lateral = nn.Identity() if skip == width else convolution(skip, width, 1)
        self.narrow = convolution(deep, width, 1)
        self.smooth = nn.Sequential(*(convolution(width, width, 3, separable=separable) for _ in range(2)))

    def forward(self, deep: Tensor, feature: Tensor) -> Tensor:
        """(N, deep, h, w) and (N, skip, 2h, 2w) -> (N, width, 2h, 2w)."""
        return self.smooth(interpolate(self.narrow(deep), scale_factor=2.0, mode="nearest") + self.lateral(feature))
