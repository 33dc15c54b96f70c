"""Very many small frames through one live segmenter: whether memory or handles of host and worker grow."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil

from benchmarks.measures.memory import MEGABYTE
from runtime.live import LiveSegmenter
from runtime.records import Record

LOOKS = 100  # at memory and handles, evenly spread
WARM_UP = 0.2  # of the frames: allocators and libraries settle
SIDE = 64  # pixels
PER = 10_000  # frames
GROWTH_MB = 1.0  # per PER frames: more is a leak
DIFFERENT_FRAMES = 16


@dataclass(frozen=True)
class Growth(Record):
    """Of one process after the warm-up: megabytes resident at its end, slope per 10,000 frames, and handles gained."""

    resident_mb: float
    slope_mb: float
    handles: int
    handles_gained: int

    @property
    def flat(self) -> bool:
        """Whether it stays within the budget."""
        return self.slope_mb < GROWTH_MB and self.handles_gained <= 0


@dataclass(frozen=True)
class SoakReport(Record):
    """What a soak found."""

    frames: int
    done: int
    restarts: int
    host: Growth
    worker: Growth

    @property
    def passed(self) -> bool:
        """Whether all frames were segmented by one worker, and nothing grew."""
        return self.done == self.frames and not self.restarts and self.host.flat and self.worker.flat


def soak(open_live: Callable[[], LiveSegmenter], frames: int, step: Callable[[], None]) -> SoakReport:
    """Submit frames as fast as they are segmented (policy "block"), throwing results away.

    step : called LOOKS times
    """
    rng = np.random.default_rng(0)
    pictures = [rng.poisson(500, (SIDE, SIDE)).astype(np.uint16) for _ in range(DIFFERENT_FRAMES)]
    looks: list[tuple[float, ...]] = []
    with open_live() as live:
        host, worker = psutil.Process(), psutil.Process(live.worker_pid)
        for number in range(frames):
            live.submit(pictures[number % DIFFERENT_FRAMES], number)
            if (number + 1) % max(1, frames // LOOKS) == 0:
                if worker.is_running():  # a restart has changed it: the report says so
                    looks.append((number, *map(_resident_mb, (host, worker)), *map(_handles, (host, worker))))
                step()
        live.drain()
    settled = np.array([look for look in looks if look[0] >= WARM_UP * frames])
    return SoakReport(
        frames,
        live.counters.done,
        live.counters.restarts,
        _growth(settled[:, [0, 1, 3]]),
        _growth(settled[:, [0, 2, 4]]),
    )


def _growth(looks: np.ndarray) -> Growth:
    """looks: columns frame number, resident MB, handles."""
    slope = float(np.polyfit(looks[:, 0], looks[:, 1], 1)[0]) * PER
    gained = int(looks[-1, 2] - looks[0, 2])
    return Growth(float(looks[-1, 1]), slope, int(looks[-1, 2]), gained)


def _resident_mb(process: psutil.Process) -> float:
    return process.memory_info().rss / MEGABYTE


def _handles(process: psutil.Process) -> int:
    if sys.platform == "win32":
        return process.num_handles()
    return process.num_fds()
