"""Clocks and percentiles: a clock starts after a warm-up, and a percentile needs the samples to carry it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np

from runtime.records import Record

WARM_UP_CALLS = 3
WARM_UP_MS = 300.0


@dataclass(frozen=True)
class Latency(Record):
    """A distribution of durations in milliseconds. A percentile that the samples cannot support is None."""

    count: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None


def timed(call: Callable[[], object]) -> float:
    """Milliseconds that one call takes; the call must return when its work is done, not before."""
    start = perf_counter_ns()
    call()
    return (perf_counter_ns() - start) / 1e6


def sample(call: Callable[[], object], count: int) -> tuple[float, ...]:
    """Durations of `count` calls in milliseconds, after a warm-up."""
    warm_up(call)
    return tuple(timed(call) for _ in range(count))


def warm_up(call: Callable[[], object]) -> None:
    """Call at least 3 times and for 0.3 s, until caches, thread pools and clock rates have settled."""
    spent, calls = 0.0, 0
    while calls < WARM_UP_CALLS or spent < WARM_UP_MS:
        spent += timed(call)
        calls += 1


def summarize(samples: Sequence[float]) -> Latency:
    """The percentiles of durations in milliseconds."""
    p50, p90, p95, p99 = (percentile(samples, q) for q in (50, 90, 95, 99))
    return Latency(len(samples), p50, p90, p95, p99, max(samples, default=None))


def percentile(samples: Sequence[float], q: int) -> float | None:
    """The q-th percentile, or None where not one sample is expected to lie beyond it.

    So p50 needs 2 samples, p90 needs 10, p95 needs 20 and p99 needs 100: below that, the figure would be the
    maximum under another name."""
    if len(samples) * (100 - q) < 100:
        return None
    return float(np.percentile(samples, q))
