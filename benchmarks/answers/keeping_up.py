"""Whether an artefact keeps up with a camera: whether the objects of every frame are known before too many wait.

How many frames a second it takes to their objects comes from a sustained run where there is one, else from the frames
of the rounds, which are bursts of seconds. If another size of frame was measured, `costing` scales the time. What was
assumed on the way is part of the answer. A buffer evens out single slow frames, so that the mean rate decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from benchmarks.answers.costing import plan_frame
from benchmarks.inputs.stream import CameraStream
from benchmarks.measures.figures import OBJECTS
from benchmarks.report.report import Row
from runtime.records import Record


@dataclass(frozen=True)
class Capacity(Record):
    """Frames a second: the mean, the slowest and the fastest stretch; and what was assumed."""

    mean: float
    low: float
    high: float
    assumed: str


@dataclass(frozen=True)
class CameraVerdict(Record):
    """The answer for one camera: frames a second, with the slowest and the fastest stretch, and what is dropped.

    drops_percent : of the camera's frames, on average; 0 where it keeps up
    """

    camera: str
    keeps_up: bool
    drops_percent: float
    drops_least: float
    drops_most: float
    frames_per_s: float
    slowest_per_s: float
    fastest_per_s: float
    assumed: str

    def __str__(self) -> str:
        rate = f"{self.frames_per_s:.3g} frames/s to objects ({self.slowest_per_s:.3g} to {self.fastest_per_s:.3g})"
        if not self.keeps_up:
            spread = f"{self.drops_least:.3g} to {self.drops_most:.3g} %"
            return f"drops {self.drops_percent:.3g} % of {self.camera} ({spread}): {rate}"
        if self.drops_most:
            return (
                f"keeps up with {self.camera} on average; drops {self.drops_most:.3g} % in its slowest stretch: {rate}"
            )
        return f"keeps up with {self.camera}: {rate}"


def verdict(row: Row, camera: CameraStream, *, one_tile: bool = True) -> CameraVerdict | None:
    """Whether it keeps up; None where no frame was timed until its objects. one_tile : see `costing.plan_frame`"""
    rate = capacity(row, camera.shape, one_tile=one_tile)
    if rate is None:
        return None
    mean, least, most = (100 * max(0.0, 1 - reached / camera.rate) for reached in (rate.mean, rate.high, rate.low))
    return CameraVerdict(str(camera), mean == 0, mean, least, most, rate.mean, rate.low, rate.high, rate.assumed)


def capacity(row: Row, shape: tuple[int, int] | None = None, *, one_tile: bool = True) -> Capacity | None:
    """How fast frames become objects; None where no frame was timed until its objects.

    shape : (height, width) of the frames; None: as they were measured
    """
    measured = (_sustained(row) or _bursts(row)) if row.until == OBJECTS else None
    if measured is None:
        return None
    timed, rates, mean, basis = measured
    plan = plan_frame(row, timed, shape or timed, one_tile=one_tile and shape is not None)
    assumed = f"{basis}; {plan.assumed}"
    return Capacity(mean / plan.factor, min(rates) / plan.factor, max(rates) / plan.factor, assumed)


Measured = tuple[
    tuple[int, int], Sequence[float], float, str
]  # frame's shape, rates of stretches, their mean, what it is


def _sustained(row: Row) -> Measured | None:
    """The windows' medians tell how the rate moved, the whole run what it was."""
    run = row.sustained
    if run is None or not run.windows:
        return None
    middle = median(window.p50_ms for window in run.windows)
    rates = [run.frames_per_s * middle / window.p50_ms for window in run.windows]
    return run.frame_shape, rates, run.frames_per_s, f"sustained over {duration(run.seconds)}"


def duration(seconds: float) -> str:
    """E.g. "18 s", "5 min"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.3g} min"


def _bursts(row: Row) -> Measured | None:
    timing = row.timing
    rounds = [fmean(one.frame_ms) for one in timing.rounds if one.frame_ms] if timing else []
    if timing is None or not rounds:
        return None
    basis = f"from {len(rounds)} short runs, without throttling; --sustain measures it"
    return timing.frame_shape, [1e3 / ms for ms in rounds], 1e3 / fmean(rounds), basis
