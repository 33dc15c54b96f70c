"""Weights learnt as uncertainties (Kendall et al. 2018, arXiv 1705.07115, eq. 7 and 10), with s = log sigma^2.

total = sum of 1/2 e^(-s) L + 1/2 s (regression) or e^(-s) L + 1/2 s (classification).

Know what it does: the best s is log L (regression) or log 2L (classification), so at its optimum every term contributes
1/2 whatever its size, and the weight of a term is 1 / (2 L): a tiny squared error gets a huge weight. The total may be
negative. So s is kept within [-4, 4], without losing its gradient there (see `log_variances`): weights between 0.0092
and 27 for regression, between 0.018 and 55 for classification. Weight decay on s would pull it towards 0: leave it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.weightings._factors import starting_factors
from distill.weightings._log_variances import LogVariances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from distill.losses import Kind

SCALES = {"regression": 0.5, "classification": 1.0}


@dataclass(frozen=True)
class Kendall:
    """Homoscedastic uncertainty."""

    name: str = "kendall"

    def build(self, terms: Mapping[str, Kind], weights: Mapping[str, float] | None = None) -> LogVariances:
        scales = {name: SCALES[kind] for name, kind in terms.items()}
        return LogVariances(scales, starting_factors(terms, weights), _half)


def _half(log_variance: Tensor) -> Tensor:
    return log_variance / 2


WEIGHTING = Kendall()
