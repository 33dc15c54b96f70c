"""Energy per frame: what the machine takes while it segments, less what it takes while it waits.

Of the whole processor package or module, whoever uses it: other programs count, too, so a quiet machine is needed.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep, time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.host.machine import Machine
from benchmarks.host.power_file import PowerFile
from benchmarks.host.sensors import Rail, Rapl, meter
from benchmarks.measures.figures import Energy
from benchmarks.measures.latency import warm_up
from benchmarks.measures.stages import run_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measures.job import MeasureJob

IDLE_S, BUSY_S = 4.0, 6.0
BY_FILE_S = 15.0  # idle, and busy, where a meter's file says what was taken
LOOK_S = 0.05  # a rail is sampled, so it is asked at least this often


def measure_energy(job: MeasureJob) -> Energy:
    """Segment frames for some seconds, after some seconds of nothing. EdgescopeError: see `source_of_energy`."""
    if job.power_csv is not None:
        return _by_file(job, PowerFile(Path(job.power_csv)))
    counter = meter(Machine())
    assert counter is not None, "the campaign asks for this only where there is a meter"
    frame = np.load(job.frame, allow_pickle=False)
    with job.open() as segment:
        warm_up(lambda: run_until(segment, frame, job.until))
        idle_w, _ = _watts(counter, IDLE_S, lambda: sleep(LOOK_S))
        start = monotonic()
        busy_w, frames = _watts(counter, BUSY_S, lambda: run_until(segment, frame, job.until))
        return energy(counter.name, idle_w, busy_w, frames, monotonic() - start, frame.shape)


def _by_file(job: MeasureJob, file: PowerFile) -> Energy:
    """The same by a meter that writes a file of its own: a reading a second is enough for stretches of this length."""
    file.readings()  # refuses what is none before the time is spent
    frame = np.load(job.frame, allow_pickle=False)
    with job.open() as segment:
        warm_up(lambda: run_until(segment, frame, job.until))
        idle = time(), (sleep(BY_FILE_S), time())[1]
        start, until, frames = time(), monotonic() + BY_FILE_S, 0
        while monotonic() < until:
            run_until(segment, frame, job.until)
            frames += 1
        end = time()
    return energy(file.name, file.watts(*idle), file.watts(start, end), frames, end - start, frame.shape)


def energy(
    sensor: str, idle_w: float, busy_w: float, frames: int, seconds: float, frame_shape: tuple[int, int]
) -> Energy:
    """Joules of one frame; None where the machine took no more than when it was idle."""
    more = busy_w - idle_w
    return Energy(sensor, more * seconds / frames if more > 0 else None, busy_w, idle_w, frames, seconds, frame_shape)


def _watts(counter: Rapl | Rail, seconds: float, do: Callable[[], object]) -> tuple[float, int]:
    """Mean power while something is done again and again, and how often it was done."""
    before, start, times = counter.joules(), monotonic(), 0
    while monotonic() - start < seconds:
        do()
        counter.joules()
        times += 1
    return (counter.joules() - before) / (monotonic() - start), times
