"""Channel-wise distillation (Shu et al. 2021, arXiv 2011.13256): where a channel is brightest.

phi(z) = softmax of z / T over all H x W pixels of a channel; loss = T^2 mean over crops of the sum over pixels of
phi(z_t) log(phi(z_t) / phi(z_s)). The channel is the foreground, so C = 1. The softmax is over both axes of the image
together; over the last axis alone it would be over its width.

A constant added to all logits changes nothing: the threshold must be learnt from another term.
The teacher's logit is taken from its probability, clamped to [1/510, 1 - 1/510]: half a step of the 8-bit store, beyond
which it cannot tell. So |z_t| is at most 6.23. Every crop counts, labelled or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.losses import Loss
from runtime.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from distill.losses import LossInput

HALF_STEP = 1 / 510


@dataclass(frozen=True)
class CWD(Loss):
    """temperature : T, above 0; the paper takes 4."""

    name = "cwd"
    role = "matching"
    without_labels = True
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            msg = f"The temperature of the loss 'cwd' is {self.temperature}; it must be above 0."
            raise InputError(msg)

    def __call__(self, batch: LossInput) -> Tensor:
        teacher = self._log_share(batch.teacher_foreground(self.name).logit(HALF_STEP))
        student = self._log_share(batch.foreground)
        divergence = (teacher.exp() * (teacher - student)).sum(-1)
        return self.temperature**2 * divergence.mean()

    def _log_share(self, logits: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, H * W), the logarithm of each pixel's share of the crop."""
        return (logits / self.temperature).flatten(2).log_softmax(-1)


LOSS = CWD()
