"""Soft Dice of outlines, found as the morphological gradient; the default boundary term.

B(p) = maxpool_k(p) + maxpool_k(-p), a dilation minus an erosion (Rivest, Soille and Beucher 1993, "Morphological
gradients"; with max-pooling as in Shit et al. 2021, clDice, arXiv 2003.07311, alg. 1). It lies in [0, 1], and for a
mask and k = 3 it is the two pixels astride the outline. Beyond the crop's border there is nothing to compare with, so
the border of a crop is no outline.

Per crop: Dice = (2 sum B(p) B(y) + s) / (sum B(p)^2 + sum B(y)^2 + s) (Milletari et al. 2016, arXiv 1606.04797,
eq. 1, which squares), loss = mean(1 - Dice), with `bce` plus mean BCE(B(p), B(y)). Squares, because y may be soft:
then they are least at B(p) = B(y), where the plain sums would ask for harder outlines than y has.

y is the label of the foreground in labelled crops. In the others it is the teacher's probability, so that an outline
is learnt there too; without a teacher they do not count. A label is not mixed with the teacher: on its own ground the
annotation has the last word, and the matching term already follows the teacher everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import max_pool2d

from distill.losses import Loss
from runtime.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from distill.losses import LossInput

SMOOTH = 32.0  # pixels: a crop without outlines costs nothing when none is predicted
SOFTEN = 1e-3  # keeps the logarithm finite, and its gradient alive, where B(p) is exactly 0 or 1


@dataclass(frozen=True)
class Gradient(Loss):
    """Outlines of the foreground. kernel : side k of the window, odd, pixels; bce : add the cross-entropy."""

    name = "gradient"
    role = "boundary"
    without_labels = True
    kernel: int = 3
    bce: bool = False

    def __post_init__(self) -> None:
        if self.kernel < 3 or self.kernel % 2 == 0:
            msg = f"The kernel of the loss 'gradient' is {self.kernel}; it must be odd and at least 3."
            raise InputError(msg)

    def __call__(self, batch: LossInput) -> Tensor:
        if batch.teacher is None:
            batch = batch.annotated()
        if batch.is_empty:
            return batch.nothing()
        wanted = outline(_truth_or_teacher(batch), self.kernel)
        found = outline(batch.foreground.sigmoid(), self.kernel)
        loss = 1 - _dice(found, wanted).mean()
        return loss + _cross_entropy(found, wanted) if self.bce else loss


def outline(probability: Tensor, kernel: int) -> Tensor:
    """The morphological gradient. (N, 1, H, W) in [0, 1], in and out."""
    largest = max_pool2d(probability, kernel, stride=1, padding=kernel // 2)
    smallest = -max_pool2d(-probability, kernel, stride=1, padding=kernel // 2)
    return largest - smallest


def _truth_or_teacher(batch: LossInput) -> Tensor:
    if batch.teacher is None:
        return batch.truth
    return torch.where(batch.labelled[:, None, None, None], batch.truth, batch.teacher_foreground("gradient"))


def _dice(found: Tensor, wanted: Tensor) -> Tensor:
    """(N, 1, H, W) twice -> (N, 1)."""
    axes = (2, 3)
    overlap = (found * wanted).sum(axes)
    total = found.square().sum(axes) + wanted.square().sum(axes)
    return (2 * overlap + SMOOTH) / (total + SMOOTH)


def _cross_entropy(found: Tensor, wanted: Tensor) -> Tensor:
    chance = (found + SOFTEN) / (1 + 2 * SOFTEN)
    return -(wanted * chance.log() + (1 - wanted) * (1 - chance).log()).mean()


LOSS = Gradient()
