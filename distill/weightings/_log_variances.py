"""What the learnt weightings share: one log variance s for each term, kept within a range.

total = sum_i c_i e^(-s_i) L_i + penalty(s_i). The logarithm keeps the variance positive without a constraint.

The range is |s| <= `LIMIT`. Without it a term that becomes small takes over: its best variance goes to 0 with it and
its weight to infinity (a mean squared error of 0.001 would be multiplied by 500), and a term that is 0 for a while,
because it is ramped in, would be far too heavy when it begins. e^4 = 55, so the weights of two terms of one kind can
differ by a factor of 3000 at most.

The range is kept by moving s itself back before it is used, as in projected gradient descent. A clamp in the formula,
or a tanh, would have no gradient or little of it at the border, and s would stay there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from distill.weightings._factors import check_step
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

LIMIT = 4.0


class LogVariances(nn.Module):
    """A learnable s for each term.

    scales : c, by term; factors : what c e^(-s) is to be at the start, by term
    penalty : s (K,) -> (K,), what keeps the variances from growing
    """

    def __init__(
        self, scales: Mapping[str, float], factors: Mapping[str, float], penalty: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.terms, self.scales, self.penalty = tuple(scales), tuple(scales.values()), penalty
        starts = [_start(name, scale, factors[name]) for name, scale in scales.items()]
        # One vector: a term that is left out of a step still gets a gradient (of 0), which DDP waits for.
        self.log_variance = nn.Parameter(torch.tensor(starts))

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        check_step(losses, self.terms)
        with torch.no_grad():
            self.log_variance.clamp_(-LIMIT, LIMIT)
        present = [self.terms.index(name) for name in losses]
        variances = self.log_variance[present]
        scales = variances.new_tensor([self.scales[index] for index in present])
        values = torch.stack(list(losses.values()))
        return (scales * torch.exp(-variances) * values + self.penalty(variances)).sum()

    def weights(self) -> dict[str, float]:
        variances = self.log_variance.detach().clamp(-LIMIT, LIMIT).tolist()
        return {
            name: scale * math.exp(-variance)
            for name, scale, variance in zip(self.terms, self.scales, variances, strict=True)
        }


def _start(name: str, scale: float, factor: float) -> float:
    low, high = scale * math.exp(-LIMIT), scale * math.exp(LIMIT)
    if not low <= factor <= high:
        msg = (
            f"The loss {name!r} cannot start with the weight {factor} that is then learnt; "
            f"choose one between {low:.3g} and {high:.3g}, or the weighting 'fixed'."
        )
        raise InputError(msg)
    return math.log(scale / factor)
