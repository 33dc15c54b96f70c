"""Percentiles are quoted only where the samples carry them."""

import statistics
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.measures.latency import WARM_UP_CALLS, percentile, sample, summarize, upper_bound

durations = st.lists(st.floats(0.001, 1e4), max_size=150)


@pytest.mark.parametrize(("q", "needed"), [(50, 2), (90, 10), (95, 20), (99, 100)])
def test_a_percentile_needs_a_sample_beyond_it(q: int, needed: int):
    assert percentile([1.0] * needed, q) == 1.0
    assert percentile([1.0] * (needed - 1), q) is None


@given(durations)
def test_percentiles_lie_within_the_samples_and_in_order(samples: list[float]):
    latency = summarize(samples)
    quoted = [p for p in (latency.p50, latency.p90, latency.p95, latency.p99, latency.max) if p is not None]
    assert quoted == sorted(quoted)
    assert all(min(samples) <= p <= max(samples) for p in quoted)


@given(durations.filter(lambda samples: len(samples) >= 100))
def test_percentiles_do_not_depend_on_the_order(samples: list[float]):
    assert summarize(samples) == summarize(list(np.random.default_rng(0).permutation(samples)))


def test_nothing_measured_is_nothing_quoted():
    assert summarize([]).max is None
    assert summarize([]).p50 is None


def test_sampling_stops_after_its_time_but_not_before_three_calls():
    assert len(sample(lambda: None, 7)) == 7
    assert len(sample(lambda: None, 7, most_ms=0.0)) == 3


def test_sampling_warms_up_first():
    calls: list[int] = []
    assert len(sample(lambda: calls.append(0), 5)) == 5
    assert len(calls) >= 5 + WARM_UP_CALLS


@given(st.lists(st.floats(1e-3, 1e4), min_size=4))
def test_jitter_is_what_scipy_and_statistics_say(samples: list[float]):
    found = summarize(samples)
    assert found.mean == pytest.approx(np.mean(samples))
    assert found.sd == pytest.approx(statistics.stdev(samples), abs=1e-9)
    assert found.mad == pytest.approx(stats.median_abs_deviation(samples), abs=1e-9)
    assert found.iqr == pytest.approx(stats.iqr(samples), abs=1e-9)


def test_one_sample_does_not_scatter_and_three_have_no_quarters():
    assert (summarize([1.0]).sd, summarize([1.0]).mad, summarize([1.0]).iqr) == (None, None, None)
    assert summarize([1.0, 2.0, 3.0]).iqr is None
    assert summarize([]).mean is None


def test_the_bound_of_a_p90_needs_44_samples_and_is_the_largest_of_them():
    samples = [float(ms) for ms in range(1, 45)]
    assert upper_bound(samples[:-1], 90) is None
    assert upper_bound(samples, 90) == 44.0
    assert upper_bound([float(ms) for ms in range(1, 1001)], 90) == pytest.approx(923, abs=3)
    assert upper_bound([1.0] * 20_000, 90) == 1.0


def test_a_bound_is_missed_as_rarely_as_its_confidence_says():
    rng = np.random.default_rng(0)
    missed = sum(upper_bound(rng.random(100).tolist(), 90) < 0.9 for _ in range(1000))
    assert missed <= 20  # 1 % of 1000 are 10


def test_paced_calls_begin_no_sooner_than_the_camera():
    begun: list[float] = []
    sample(lambda: begun.append(perf_counter()), 5, period_ms=20.0)
    gaps = np.diff(begun[-5:])
    assert gaps.min() > 0.015


def test_a_least_time_takes_as_many_calls_as_it_needs():
    start = perf_counter()
    durations = sample(lambda: None, 3, least_ms=50.0)
    assert len(durations) > 3
    assert perf_counter() - start >= 0.05
