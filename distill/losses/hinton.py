"""Knowledge distillation at a temperature (Hinton et al. 2015, arXiv 1503.02531, section 2), pixel by pixel.

One channel, so each pixel is a Bernoulli variable: with q = sigmoid(z_t / T) and r = sigmoid(z_s / T),
loss = T^2 mean(q log(q / r) + (1 - q) log((1 - q) / (1 - r))). The factor T^2 keeps the gradient's size when T changes.
A softmax over the last axis would be over image width.

The teacher's logit is taken from its probability, clamped to [1/510, 1 - 1/510]: half a step of the 8-bit store, beyond
which it cannot tell. So |z_t| is at most 6.23. Every crop counts, labelled or not, and every output that the teacher
speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid

from distill.losses import Loss
from runtime.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from distill.losses import LossInput

HALF_STEP = 1 / 510


@dataclass(frozen=True)
class Hinton(Loss):
    """temperature : T, above 0; 1 matches the probabilities as they are, more of it the teacher's doubts."""

    name = "hinton"
    role = "matching"
    without_labels = True
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            msg = f"The temperature of the loss 'hinton' is {self.temperature}; it must be above 0."
            raise InputError(msg)

    def __call__(self, batch: LossInput) -> Tensor:
        teacher = batch.teacher_probability(self.name).logit(HALF_STEP) / self.temperature
        student = batch.taught_logits / self.temperature
        chance = teacher.sigmoid()
        inside = chance * (logsigmoid(teacher) - logsigmoid(student))
        outside = (1 - chance) * (logsigmoid(-teacher) - logsigmoid(-student))
        return self.temperature**2 * (inside + outside).mean()


LOSS = Hinton()
