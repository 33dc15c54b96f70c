r"""Soft Dice plus binary cross-entropy (Milletari et al. 2016, arXiv 1606.04797, eq. 1, with a smoothing term).

Per sample and channel: Dice = (2 sum p y + s) / (sum p + sum y + s); loss = mean(1 - Dice) + mean BCE(z, y).
The smoothing s lets an empty crop reach a loss of 0 by predicting nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from distill.losses import Loss
from runtime.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from distill.losses import LossInput

SMOOTH = 32.0  # pixels


@dataclass(frozen=True)
class DiceBCE(Loss):
    """Dice + BCE over the labelled crops.

    dice_outputs : of how many of the outputs, the first ones, the Dice is taken; 0 is all. BCE is proper for a core
        that is a distance between 0 and 1, Dice is not: it would make one of its two values of it.
    """

    name = "dice_bce"
    role = "supervised"
    dice_outputs: int = 0

    def __post_init__(self) -> None:
        if self.dice_outputs < 0:
            msg = f"Option 'dice_outputs' of the loss 'dice_bce' is {self.dice_outputs}; give a count, or 0 for all."
            raise InputError(msg)

    def __call__(self, batch: LossInput) -> Tensor:
        batch = batch.annotated()
        if batch.is_empty:
            return batch.nothing()
        return torch.stack(list(dice_bce(batch.logits, batch.target, self.dice_outputs).values())).sum()


def dice_bce(logits: Tensor, target: Tensor, dice_outputs: int = 0) -> dict[str, Tensor]:
    """logits, target : (N, C, H, W), target in [0, 1]. Returns scalars "dice" and "bce", to be summed.

    dice_outputs : of how many of the C outputs the Dice is taken, from the first one; 0 is all
    """
    logits = logits if logits.dtype.itemsize > 4 else logits.float()
    target = target.to(logits.dtype)
    probability = torch.sigmoid(logits)
    axes = (2, 3)
    overlap = (probability * target).sum(axes)
    total = probability.sum(axes) + target.sum(axes)
    dice = ((2 * overlap + SMOOTH) / (total + SMOOTH))[:, : dice_outputs or None]
    return {"dice": (1 - dice).mean(), "bce": binary_cross_entropy_with_logits(logits, target)}


LOSS = DiceBCE()
