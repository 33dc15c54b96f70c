"""The interval of a mean, against scipy."""

import numpy as np
import pytest
from scipy import stats

from distill.bootstrap import RESAMPLES, interval


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_the_interval_is_scipys_percentile_bootstrap(scale: float):
    differences = scale * np.random.default_rng(3).gamma(2, 1, 25)
    theirs = stats.bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(9)
    )
    spread = theirs.standard_error
    low, high = interval(differences)
    # A 2.5 % quantile of 10,000 normal draws has a standard error of about 0.027 spreads, and there are two of them.
    assert low == pytest.approx(theirs.confidence_interval.low, abs=5 * 0.027 * 2**0.5 * spread)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=5 * 0.027 * 2**0.5 * spread)


def test_the_interval_is_the_same_each_time():
    differences = np.random.default_rng(0).normal(size=9)
    assert interval(differences) == interval(differences)
    assert interval(np.full(5, 0.25)) == (0.25, 0.25)
