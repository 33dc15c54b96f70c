"""Weights that stay as they are given: total = sum_i w_i L_i."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from distill.weightings._factors import check_step, starting_factors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from distill.losses import Kind


@dataclass(frozen=True)
class Fixed:
    """Nothing is learnt; a weight of 0 switches a term off."""

    name: str = "fixed"

    def build(self, terms: Mapping[str, Kind], weights: Mapping[str, float] | None = None) -> FixedWeights:
        return FixedWeights(starting_factors(terms, weights))


class FixedWeights(nn.Module):
    """The weighted sum, without parameters."""

    def __init__(self, factors: dict[str, float]) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        check_step(losses, self.factors)
        return torch.stack([self.factors[name] * loss for name, loss in losses.items()]).sum()

    def weights(self) -> dict[str, float]:
        return dict(self.factors)


WEIGHTING = Fixed()
