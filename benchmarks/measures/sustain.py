"""A sustained run: one process that segments frame after frame, as far as `until`, for minutes, as an acquisition does.

It shows what a few hundred frames cannot: a clock that falls as the machine warms up, a machine that throttles.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.host.machine import Machine
from benchmarks.host.sensors import Recorder
from benchmarks.measures.figures import Sustained, Window
from benchmarks.measures.latency import histogram, percentile, summarize, timed, warm_up
from benchmarks.measures.stages import run_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measures.job import MeasureJob

WINDOWS = 60  # of equal length over the run; fewer where they would hold less than a second
LEAST_WINDOWS = 5  # for a slope that has an interval
LEAST_WINDOW_S = 1.0
CONFIDENCE = 0.95


def sustain(job: MeasureJob) -> Sustained:
    """Segment one frame again and again for `job.minutes`; sensors are read between frames, outside of their times."""
    frame = np.load(job.frame, allow_pickle=False)
    at_s: list[float] = []
    samples: list[float] = []
    with job.open() as segment:
        warm_up(lambda: run_until(segment, frame, job.until))
        recorder = Recorder(Machine())
        start = monotonic()
        while (now := monotonic() - start) < job.minutes * 60 or not samples:
            samples.append(timed(lambda: run_until(segment, frame, job.until)))
            at_s.append(now)
            recorder.look()
        seconds = monotonic() - start
    return summary(job.minutes, seconds, frame.shape, at_s, samples, recorder)


def summary(
    minutes: float,
    seconds: float,
    frame_shape: tuple[int, int],
    at_s: Sequence[float],
    samples: Sequence[float],
    recorder: Recorder,
) -> Sustained:
    """The run's figures. at_s, samples: when each frame began, and what it took in milliseconds."""
    cut = windows(seconds, at_s, samples)
    slope, interval = drift(cut)
    return Sustained(
        minutes=minutes,
        seconds=seconds,
        frames=len(samples),
        frame_shape=frame_shape,
        frames_per_s=len(samples) / seconds,
        frame_ms=summarize(samples),
        histogram=histogram(samples),
        windows=cut,
        drift_ms_per_minute=slope,
        drift_interval=interval,
        drift_percent=None if slope is None else 100 * slope * seconds / 60 / cut[0].p50_ms,
        traces=recorder.traces(),
        throttled=recorder.throttled(),
    )


def windows(seconds: float, at_s: Sequence[float], samples: Sequence[float]) -> tuple[Window, ...]:
    """Cut the run into stretches of equal length; one in which no frame began is left out."""
    count = max(1, min(WINDOWS, int(seconds / LEAST_WINDOW_S)))
    edges = np.linspace(0, seconds, count + 1)
    which = np.clip(np.searchsorted(edges, at_s, side="right") - 1, 0, count - 1)
    values = np.asarray(samples)
    groups = [(number, values[which == number].tolist()) for number in range(count)]
    return tuple(
        Window(
            at_s=float(edges[number] + edges[number + 1]) / 2,
            frames=len(group),
            p50_ms=float(np.median(group)),
            p95_ms=percentile(group, 95),
            max_ms=max(group),
        )
        for number, group in groups
        if group
    )


def drift(cut: Sequence[Window]) -> tuple[float | None, tuple[float, float] | None]:
    """Milliseconds per minute: the median of the slopes between all pairs of windows' medians (Theil 1950, Sen 1968),
    which a few disturbed windows do not move, and its 95 % interval; None, None for fewer than five windows."""
    if len(cut) < LEAST_WINDOWS:
        return None, None
    from scipy.stats import theilslopes

    fitted = theilslopes([window.p50_ms for window in cut], [window.at_s / 60 for window in cut], CONFIDENCE)
    slope, _, low, high = (float(value) for value in np.asarray(fitted))
    return slope, (low, high)
