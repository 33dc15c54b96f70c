"""Matching of probabilities: mean (sigmoid(z_s) - p_t)^2 over the pixels of every output that the teacher
speaks of, of a field the foreground alone.

The matching term of arXiv 2606.00928, "MSE between student and teacher probabilities"; the form is ours, since the
abstract gives none. It is the Brier score (Brier 1950) against the teacher, or logit matching (Ba and Caruana 2014,
arXiv 1312.6184, eq. 1) after the sigmoid, so that no teacher's logit is needed. Every crop counts, labelled or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.losses import Loss

if TYPE_CHECKING:
    from torch import Tensor

    from distill.losses import LossInput


@dataclass(frozen=True)
class MSE(Loss):
    """Mean squared difference of probabilities, in [0, 1]."""

    name = "mse"
    role = "matching"
    kind = "regression"
    without_labels = True

    def __call__(self, batch: LossInput) -> Tensor:
        return (batch.taught_logits.sigmoid() - batch.teacher_probability(self.name)).square().mean()


LOSS = MSE()
