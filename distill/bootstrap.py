"""How sure a mean is: the percentile bootstrap (Efron 1979), with units drawn with replacement 10,000 times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 10_000


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of the mean of values (units,), resampled with replacement; seeded.

    Differences of the same units give the paired interval.
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)
