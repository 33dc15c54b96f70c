"""Energy per frame: what the machine takes while it segments, less what it takes while it waits.

Of the whole processor package or module, whoever uses it: other programs count, too, so a quiet machine is needed.
"""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING

import numpy as np

from .figures import Energy
from .latency import warm_up
from .machine import Machine
from .sensors import Rail, Rapl, meter

if TYPE_CHECKING:
    from collections.abc import Callable

    from .measurement import Job

IDLE_S, BUSY_S = 4.0, 6.0
LOOK_S = 0.05  # a rail is sampled, so it is asked at least this often


def measure_energy(job: Job) -> Energy:
    """Segment frames for some seconds, after some seconds of nothing. EdgescopeError: see `source_of_energy`."""
    found = meter(Machine())
    assert found is not None, "the campaign asks for this only where there is a meter"
    frame = np.load(job.frame, allow_pickle=False)
    with job.open() as segment:
        warm_up(lambda: segment(frame))
        idle_w, _ = _watts(found, IDLE_S, lambda: sleep(LOOK_S))
        start = monotonic()
        busy_w, frames = _watts(found, BUSY_S, lambda: segment(frame))
        return energy(found.name, idle_w, busy_w, frames, monotonic() - start, frame.shape)


def energy(
    sensor: str, idle_w: float, busy_w: float, frames: int, seconds: float, frame_shape: tuple[int, int]
) -> Energy:
    """Joules of one frame; None where the machine took no more than when it was idle."""
    more = busy_w - idle_w
    return Energy(sensor, more * seconds / frames if more > 0 else None, busy_w, idle_w, frames, seconds, frame_shape)


def _watts(found: Rapl | Rail, seconds: float, do: Callable[[], object]) -> tuple[float, int]:
    """Mean power while something is done again and again, and how often it was done."""
    before, start, times = found.joules(), monotonic(), 0
    while monotonic() - start < seconds:
        do()
        found.joules()
        times += 1
    return (found.joules() - before) / (monotonic() - start), times
