"""Clocks and percentiles: a clock starts after a warm-up, and a percentile needs the samples to carry it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from time import perf_counter_ns

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

    @property
    def edges_ms(self) -> tuple[float, ...]:
        """The lower edge of each bin, and the upper one of the last."""
        return tuple(self.least_ms * (1 + self.resolution) ** k for k in range(len(self.counts) + 1))


def timed(call: Callable[[], object]) -> float:
    """Milliseconds that one call takes; the call must return when its work is done, not before."""
    start = perf_counter_ns()
    call()
    return (perf_counter_ns() - start) / 1e6


def sample(call: Callable[[], object], count: int, most_ms: float = inf) -> tuple[float, ...]:
    """Durations of `count` calls in milliseconds, after a warm-up; of fewer, but three, once they took `most_ms`."""
    warm_up(call)
    durations: list[float] = []
    while len(durations) < count and (len(durations) < LEAST_CALLS or sum(durations) < most_ms):
        durations.append(timed(call))
    return tuple(durations)


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
