"""Weights learnt as uncertainties, with a positive penalty (Liebel and Koerner 2018, arXiv 1805.06334).

total = sum of 1/2 L / sigma^2 + ln(1 + sigma^2), here with s = log sigma^2, for terms of either kind.

The total is never negative. For small L the best sigma^2 is about sqrt(L / 2), so the weight of a term grows as
1 / sqrt(2 L), far more slowly than Kendall's 1 / (2 L), and a smaller term contributes less. s is kept within [-4, 4],
without losing its gradient there (see `log_variances`): weights between 0.0092 and 27. Weight decay on s would pull it
towards 0: leave it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn.functional import softplus

from distill.weightings._factors import starting_factors
from distill.weightings._log_variances import LogVariances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distill.losses import Kind


@dataclass(frozen=True)
class Liebel:
    """Auxiliary-task weighting; softplus(s) is ln(1 + sigma^2)."""

    name: str = "liebel"

    def build(self, terms: Mapping[str, Kind], weights: Mapping[str, float] | None = None) -> LogVariances:
        return LogVariances(dict.fromkeys(terms, 0.5), starting_factors(terms, weights), softplus)


WEIGHTING = Liebel()
