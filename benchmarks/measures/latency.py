"""Clocks and percentiles: a clock starts after a warm-up, and a percentile needs the samples to carry it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, lgamma, log
from time import perf_counter_ns, sleep

import numpy as np
from numpy.typing import NDArray

from runtime.records import Record

WARM_UP_CALLS = LEAST_CALLS = 3
WARM_UP_MS = 300.0
RESOLUTION = 0.01
SHORTEST_MS = 1e-6  # below the clock's tick: a duration of 0 has no place on a logarithmic scale
ROUNDING = 1e-9  # the edge of a bin belongs to it, whatever the logarithm's last digit is


@dataclass(frozen=True)
class Latency(Record):
    """A distribution of durations in milliseconds. A percentile that the samples cannot support is None.

    Jitter is how far durations scatter: `sd` their standard deviation (of the sample, n - 1), which one outlier can
    rule; `mad` the median absolute deviation from the median, and `iqr` the width of the middle half, which it cannot.
    """

    count: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None
    mean: float | None
    sd: float | None
    mad: float | None
    iqr: float | None


@dataclass(frozen=True)
class Histogram(Record):
    """Durations, counted in bins that are `resolution` wide relative to their edge: faithful to half of that.

    Bin k holds what lies in [least_ms * (1 + resolution)^k, the edge of bin k + 1); the first takes what is shorter.
    """

    least_ms: float
    resolution: float
    counts: tuple[int, ...]


def timed(call: Callable[[], object]) -> float:
    """Milliseconds that one call takes; the call must return when its work is done, not before."""
    start = perf_counter_ns()
    call()
    return (perf_counter_ns() - start) / 1e6


def sample(
    call: Callable[[], object],
    count: int,
    most_ms: float = inf,
    *,
    least_ms: float = 0.0,
    period_ms: float | None = None,
) -> tuple[float, ...]:
    """Durations of `count` calls in milliseconds, after a warm-up; of fewer, but three, once they took `most_ms`.

    least_ms : of time, waits included, that is spent at least, however many calls this takes
    period_ms : a call begins so long after the one before, or later where that one took longer, as beside a camera:
        a processor that waits lowers its clock and its caches go cold
    """
    warm_up(call)
    durations: list[float] = []
    start = due = perf_counter_ns()
    while _goes_on(durations, count, most_ms, (perf_counter_ns() - start) / 1e6, least_ms):
        if period_ms is not None:
            sleep(max(0.0, (due - perf_counter_ns()) / 1e9))
            due = max(due, perf_counter_ns()) + round(period_ms * 1e6)
        durations.append(timed(call))
    return tuple(durations)


def _goes_on(durations: Sequence[float], count: int, most_ms: float, spent_ms: float, least_ms: float) -> bool:
    if len(durations) < LEAST_CALLS or spent_ms < least_ms:
        return True
    return len(durations) < count and sum(durations) < max(most_ms, least_ms)


def warm_up(call: Callable[[], object]) -> None:
    """Call at least 3 times and for 0.3 s, until caches, thread pools and clock rates have settled."""
    spent, calls = 0.0, 0
    while calls < WARM_UP_CALLS or spent < WARM_UP_MS:
        spent += timed(call)
        calls += 1


def summarize(samples: Sequence[float]) -> Latency:
    """The percentiles and the jitter of durations in milliseconds."""
    p50, p90, p95, p99 = (percentile(samples, q) for q in (50, 90, 95, 99))
    values = np.sort(np.asarray(samples, np.float64))  # sums do not depend on the order then
    mean = float(values.mean()) if len(values) else None
    return Latency(len(samples), p50, p90, p95, p99, max(samples, default=None), mean, *_jitter(values))


def percentile(samples: Sequence[float], q: int) -> float | None:
    """The q-th percentile, or None where not one sample is expected to lie beyond it.

    So p50 needs 2 samples, p90 needs 10, p95 needs 20 and p99 needs 100: below that, the figure would be the
    maximum under another name."""
    if len(samples) * (100 - q) < 100:
        return None
    return float(np.percentile(samples, q))


CONFIDENCE = 0.99


def upper_bound(samples: Sequence[float], q: int, confidence: float = CONFIDENCE) -> float | None:
    """The q-th percentile is at most this with the confidence, whatever the distribution; None for too few samples.

    The smallest order statistic that lies above the percentile with that probability, as in the early stopping of
    MLPerf Inference: for p90 and 99 % it takes 44 samples, and 64 for the second largest one to do."""
    count, share = len(samples), q / 100
    below = 0.0  # probability that at most `rank - 1` of the samples lie below the percentile
    for rank, value in enumerate(sorted(samples), 1):
        ways = lgamma(count + 1) - lgamma(rank) - lgamma(count - rank + 2)
        below += exp(ways + (rank - 1) * log(share) + (count - rank + 1) * log(1 - share))
        if below >= confidence:
            return value
    return None


def histogram(samples: Sequence[float]) -> Histogram:
    """Count durations in bins of 1 %, from the shortest to the longest; at least one sample."""
    values = np.maximum(np.asarray(samples, np.float64), SHORTEST_MS)
    least = float(values.min())
    bins = np.floor(np.log(values / least) / np.log1p(RESOLUTION) + ROUNDING).astype(np.int64)
    return Histogram(least, RESOLUTION, tuple(int(count) for count in np.bincount(bins)))


def _jitter(values: NDArray[np.float64]) -> tuple[float | None, float | None, float | None]:
    """sd, mad, iqr; None for fewer than the two samples that a scatter needs, and four that quarters need."""
    if len(values) < 2:
        return None, None, None
    low, middle, high = np.percentile(values, (25, 50, 75))
    iqr = float(high - low) if len(values) >= 4 else None
    return float(values.std(ddof=1)), float(np.median(np.abs(values - middle))), iqr
