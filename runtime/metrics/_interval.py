"""How sure a mean over images is: the percentile bootstrap (Efron 1979). The one definition of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 0
FEWEST = 5  # units: an interval of fewer would rest on too few values to be honest
CHUNK = 1 << 20  # numbers drawn at once


def interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """95 % percentile interval of the mean of values (units,), drawn with replacement 10,000 times; seeded.

    Differences of the same units give the paired interval. None for fewer than five units.
    """
    if len(values) < FEWEST:
        return None
    means = np.concatenate([values[drawn].mean(axis=1) for drawn in resamples(len(values))])
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def resamples(count: int) -> Iterator[NDArray[np.int64]]:
    """Indices of `count` units drawn with replacement, int64 (n, count) in chunks, 10,000 rows in all; seeded."""
    generator = np.random.default_rng(SEED)
    rows = max(1, CHUNK // count)
    for start in range(0, RESAMPLES, rows):
        yield generator.integers(0, count, (min(rows, RESAMPLES - start), count))
