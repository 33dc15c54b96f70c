"""Whether the machine was quiet: one fixed piece of work, timed again and again, before and after the measuring.

The work is the same on every machine and touches no artefact: additions and multiplications within the first-level
cache, in one thread. On a quiet machine its time does not change. What changes it is what spoils a latency, too:
other programs, other guests of the same host, a clock that is throttled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns

import numpy as np

from runtime.records import Record

LOOPS = 60
PASSES = 3000  # over the array; some milliseconds, longer than a switch between programs takes
SIZE = 2048
SPREAD = 0.10  # of the middle 80 %, relative to the median
SHIFT = 0.05  # of the median, from before to after


@dataclass(frozen=True)
class Calibration(Record):
    """Milliseconds of each loop; spread: (p90 - p10) / median."""

    samples_ms: tuple[float, ...]
    median_ms: float
    spread: float


@dataclass(frozen=True)
class NoiseCheck(Record):
    """The calibrations, the thresholds that were applied, and what was found; no reasons: the machine was quiet.

    spread_threshold : each spread may reach it
    shift_threshold : |after / before - 1| of the medians may reach it
    """

    before: Calibration
    after: Calibration
    spread_threshold: float
    shift_threshold: float
    reasons: tuple[str, ...]

    @property
    def is_noisy(self) -> bool:
        """Whether the machine was noisy, so that the times of this run are unreliable."""
        return bool(self.reasons)


def calibrate(loops: int | None = None) -> Calibration:
    """Time the loop; less than a second."""
    numbers = np.linspace(0.5, 1.5, SIZE, dtype=np.float32)
    _work(numbers)
    return calibration(tuple(_work(numbers) for _ in range(loops or LOOPS)))


def calibration(samples_ms: Sequence[float]) -> Calibration:
    """Sum up the loops' milliseconds."""
    low, high = np.percentile(samples_ms, (10, 90))
    middle = median(samples_ms)
    return Calibration(tuple(samples_ms), middle, float(high - low) / middle)


def judge(before: Calibration, after: Calibration) -> NoiseCheck:
    """Compare with the thresholds, and say in words what is over them."""
    reasons = [
        f"the machine was noisy {when} the measurement: a fixed loop varied by {100 * check.spread:.0f} % "
        f"(quiet: at most {100 * SPREAD:.0f} %)"
        for when, check in (("before", before), ("after", after))
        if check.spread > SPREAD
    ]
    shift = after.median_ms / before.median_ms - 1
    if abs(shift) > SHIFT:
        change = "slower" if shift > 0 else "faster"
        reasons.append(
            f"the machine became {100 * abs(shift):.0f} % {change} while it measured: the same loop took "
            f"{before.median_ms:.2f} ms before and {after.median_ms:.2f} ms after (quiet: within {100 * SHIFT:.0f} %)"
        )
    return NoiseCheck(before, after, SPREAD, SHIFT, tuple(reasons))


def _work(numbers: np.ndarray) -> float:
    """Milliseconds of one loop."""
    values = numbers.copy()
    start = perf_counter_ns()
    for _ in range(PASSES):
        np.multiply(values, 0.999, out=values)
        np.add(values, 0.001, out=values)
    return (perf_counter_ns() - start) / 1e6
