"""The one bootstrap: against scipy's, and its edges."""

import numpy as np
import pytest
from scipy import stats

from runtime.metrics import interval, resamples


def test_it_agrees_with_scipy_s_percentile_bootstrap():
    values = np.random.default_rng(3).normal(0.8, 0.1, 60)
    reference = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=1).confidence_interval
    assert interval(values) == pytest.approx((reference.low, reference.high), abs=0.002)


def test_the_same_values_have_the_same_interval():
    values = np.random.default_rng(0).random(12)
    assert interval(values) == interval(values)


def test_fewer_than_five_values_have_none():
    assert interval(np.arange(4.0)) is None
    assert interval(np.arange(5.0)) is not None


@pytest.mark.parametrize("count", [5, 700])
def test_ten_thousand_resamples_are_drawn_in_chunks(count: int):
    drawn = list(resamples(count))
    assert sum(len(chunk) for chunk in drawn) == 10_000
    assert all(chunk.shape[1] == count and chunk.size <= 1 << 20 for chunk in drawn)
    assert {int(chunk.min()) for chunk in drawn} == {0} and max(int(chunk.max()) for chunk in drawn) == count - 1
