"""What an artefact must meet to be chosen: each requirement judges one row, and says what it judged.

A figure that was not measured meets no requirement. A figure is judged as it was measured; where the limit lies within
its spread, it is met but not sure, and with `sure` the far end of the spread is judged instead.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from benchmarks.answers.costing import FramePlan, Rates, plan_frame
from benchmarks.answers.keeping_up import capacity
from benchmarks.inputs.stream import CameraStream
from benchmarks.measures.figures import NETWORK, Round
from benchmarks.measures.latency import percentile
from benchmarks.report.report import Row
from runtime import metrics
from runtime.errors import InputError
from runtime.records import Record

PERCENTILES = (50, 90, 95, 99)
CAMERA = "camera"


@dataclass(frozen=True)
class Limits(Record):
    """What the caller asks for; None: no such limit.

    quality : limits of metrics, by their names: at least, or at most where lower values are better
    percentile : which one of the latency counts
    tiles : latency of the network alone on one tile, instead of that of whole frames
    sure : judge each figure at the unfavourable end of its spread
    frame : (height, width) of the frames that latency, rate and cost are of; None: the camera's, or as measured
    rates : what devices and electricity cost
    """

    latency_ms: float | None = None
    memory_mb: float | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    camera: CameraStream | None = None
    percentile: int = 95
    tiles: bool = False
    sure: bool = False
    frame: tuple[int, int] | None = None
    rates: Rates = field(default_factory=Rates)

    @property
    def shape(self) -> tuple[int, int] | None:
        """(height, width) of the frame in question; None: as measured."""
        return self.camera.shape if self.camera else self.frame

    @property
    def one_tile(self) -> bool:
        """Whether an artefact of another tile than was measured may be proposed: its memory is not known, nor sure."""
        return self.memory_mb is None and not self.sure

    def __post_init__(self) -> None:
        if self.percentile not in PERCENTILES:
            msg = f"Percentile is {self.percentile}; it must be one of {', '.join(map(str, PERCENTILES))}."
            raise InputError(msg)
        for name, value in (("latency", self.latency_ms), ("memory", self.memory_mb)):
            if value is not None and not 0 < value < float("inf"):
                msg = f"The limit of {name} is {value:g}; it must be a number above 0."
                raise InputError(msg)
        if self.frame and (min(self.frame) < 1 or (self.camera and self.camera.shape != self.frame)):
            msg = f"The frame is {self.frame[0]}x{self.frame[1]}; give at least 1x1, and no other than the camera's."
            raise InputError(msg)
        for name, value in self.quality.items():
            most = float("inf") if metrics.load(name).unit else 1.0
            if not 0 <= value <= most:
                msg = f"The limit of {name} is {value:g}; it must be between 0 and {most:g}."
                raise InputError(msg)


def parse_quality(text: str) -> dict[str, float]:
    """Read "METRIC:VALUE,..."; InputError names the part that is no limit, and lists the metrics."""
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition(":"))
        try:
            limits[name] = float(value)
        except ValueError as error:
            msg = f"{part!r} is no limit of quality; give METRIC:VALUE with one of {', '.join(metrics.names())}."
            raise InputError(msg) from error
    return limits


@dataclass(frozen=True)
class Estimate(Record):
    """A figure, its spread (equal to it where there is none), and how it was got."""

    value: float
    low: float
    high: float
    basis: str


@dataclass(frozen=True)
class Requirement:
    """A limit on one figure of a row.

    field : of the row, whose reason in `not_measured` says why the figure is missing; else `missing` does
    """

    name: str
    unit: str
    limit: float
    at_most: bool
    estimate: Callable[[Row], Estimate | None]
    field: str
    missing: str


@dataclass(frozen=True)
class Check(Record):
    """How a row stands to a requirement.

    misses_by : in the figure's unit, 0 where it is met; None where the figure is missing, which meets nothing
    sure : whether the whole spread meets, or misses, the limit
    """

    name: str
    unit: str
    limit: float
    at_most: bool
    figure: Estimate | None
    misses_by: float | None
    sure: bool
    missing: str

    @property
    def met(self) -> bool:
        """Whether the requirement is met."""
        return self.misses_by == 0

    @property
    def shortfall(self) -> float:
        """What is missing, relative to the limit; infinite where the figure is missing."""
        return float("inf") if self.misses_by is None else self.misses_by / max(self.limit, 1e-9)


def check(row: Row, asked: Requirement, *, sure: bool) -> Check:
    """Judge one row."""
    estimate = asked.estimate(row)
    if estimate is None:
        reason = row.not_measured.get(asked.field, asked.missing)
        return Check(asked.name, asked.unit, asked.limit, asked.at_most, None, None, True, reason)
    ends = [_miss(asked, value) for value in (estimate.value, estimate.low, estimate.high)]
    misses = max(ends) if sure else ends[0]
    same = len({end == 0 for end in ends}) == 1
    return Check(asked.name, asked.unit, asked.limit, asked.at_most, estimate, misses, same, "")


def _miss(asked: Requirement, value: float) -> float:
    return max(0.0, value - asked.limit if asked.at_most else asked.limit - value)


def requirements(limits: Limits) -> Iterator[Requirement]:
    """Those that were asked for."""
    if limits.latency_ms is not None:
        few = f"it was not timed, or with too few samples for a p{limits.percentile}: run it with more --repeats"
        yield Requirement("latency", "ms", limits.latency_ms, True, lambda row: latency_of(row, limits), "timing", few)
    if limits.memory_mb is not None:
        unknown = "it has no memory figure, so that nobody knows whether it fits: run it on its own device"
        yield Requirement("memory", "MB", limits.memory_mb, True, memory_of, "memory", unknown)
    yield from (_of_metric(name, limit) for name, limit in limits.quality.items())
    if (camera := limits.camera) is not None:
        untimed = "no frame was timed until its objects: run it on its own device with --until objects"
        yield Requirement(CAMERA, "frames/s", camera.rate, False, lambda row: rate_of(row, limits), "timing", untimed)


def _of_metric(name: str, limit: float) -> Requirement:
    metric = metrics.load(name)
    missing = f"it has no {metric.title}: run it on labelled images with --data"
    at_most = metric.better == "lower"
    return Requirement(metric.title, metric.unit, limit, at_most, lambda row: quality_of(row, name), "quality", missing)


def latency_of(row: Row, limits: Limits) -> Estimate | None:
    """The percentile over all rounds; its spread is that of the rounds that have enough samples for it."""
    timing = row.timing
    pooled = timing and getattr(timing.tile_ms if limits.tiles else timing.frame_ms, f"p{limits.percentile}")
    if timing is None or pooled is None:
        return None
    rounds = [percentile(_samples(one, limits), limits.percentile) for one in timing.rounds]
    values = [pooled, *(value for value in rounds if value is not None)]
    if limits.tiles:
        what = f"p{limits.percentile} of tiles of {row.tile[0]}x{row.tile[1]}, until {NETWORK}"
        return Estimate(pooled, min(values), max(values), what)
    plan = plan_of(row, limits)
    assert plan is not None
    factor, (height, width) = plan.factor, plan.shape
    what = f"p{limits.percentile} of frames of {height}x{width}, until {row.until}"
    what += f"; {plan.assumed}" if plan.estimated else ""
    return Estimate(pooled * factor, min(values) * factor, max(values) * factor, what)


def plan_of(row: Row, limits: Limits) -> FramePlan | None:
    """How the frame in question is segmented; None for what was not timed."""
    if row.timing is None:
        return None
    measured = row.timing.frame_shape
    one_tile = limits.one_tile and limits.shape is not None
    return plan_frame(row, measured, limits.shape or measured, one_tile=one_tile)


def _samples(one: Round, limits: Limits) -> tuple[float, ...]:
    return one.tile_ms if limits.tiles else one.frame_ms


def memory_of(row: Row) -> Estimate | None:
    """The highest peak of all rounds: a limit that is broken once is broken. Where processor and accelerator share one
    memory, what the system lost counts if that is more."""
    if row.timing is None or not row.timing.rounds:
        return None
    peaks = [max(one.memory.peak_mb, one.memory.available_drop_mb or 0.0) for one in row.timing.rounds]
    return Estimate(max(peaks), max(peaks), max(peaks), f"highest of {len(peaks)} rounds, median {median(peaks):.0f}")


def quality_of(row: Row, metric: str = metrics.HEADLINES[0]) -> Estimate | None:
    """One metric, with the bootstrap interval where it is a mean over images."""
    value = row.quality and row.quality.figure(metric)
    if row.quality is None or value is None:
        return None
    score = row.quality.metrics[metric]
    is_mean = value == score.mean
    low, high = (score.interval if is_mean else None) or (value, value)
    return Estimate(value, low, high, f"{'mean' if is_mean else 'pooled'} over {score.images} images")


def rate_of(row: Row, limits: Limits) -> Estimate | None:
    """Frames a second to their objects, of the frame in question; see `keeping_up`."""
    rate = capacity(row, limits.shape, one_tile=limits.one_tile)
    return rate and Estimate(rate.mean, rate.low, rate.high, rate.assumed)
