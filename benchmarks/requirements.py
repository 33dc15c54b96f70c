"""What an artefact must meet to be chosen: each requirement judges one row, and says what it judged.

A figure that was not measured meets no requirement. A figure is judged as it was measured; where the limit lies within
its spread, it is met but not sure, and with `sure` the far end of the spread is judged instead.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from runtime.errors import InputError
from runtime.records import Record

from .figures import Round
from .keeping_up import Demand, capacity
from .latency import percentile
from .report import Row

PERCENTILES = (50, 90, 95, 99)
CAMERA = "camera"


@dataclass(frozen=True)
class Wanted(Record):
    """What the caller asks for; None: no such limit.

    percentile : which one of the latency counts
    frames : latency of whole frames, of the size that was measured, instead of tiles
    sure : judge each figure at the unfavourable end of its spread
    """

    latency_ms: float | None = None
    memory_mb: float | None = None
    min_dice: float | None = None
    camera: Demand | None = None
    percentile: int = 95
    frames: bool = False
    sure: bool = False

    def __post_init__(self) -> None:
        if self.percentile not in PERCENTILES:
            msg = f"Percentile is {self.percentile}; it must be one of {', '.join(map(str, PERCENTILES))}."
            raise InputError(msg)
        for name, value in (("latency", self.latency_ms), ("memory", self.memory_mb)):
            if value is not None and not 0 < value < float("inf"):
                msg = f"The limit of {name} is {value:g}; it must be a number above 0."
                raise InputError(msg)
        if self.min_dice is not None and not 0 <= self.min_dice <= 1:
            msg = f"The least Dice is {self.min_dice:g}; it must be between 0 and 1, e.g. 0.9."
            raise InputError(msg)


@dataclass(frozen=True)
class Figure(Record):
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
    figure: Callable[[Row], Figure | None]
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
    figure: Figure | None
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
    figure = asked.figure(row)
    if figure is None:
        reason = row.not_measured.get(asked.field, asked.missing)
        return Check(asked.name, asked.unit, asked.limit, asked.at_most, None, None, True, reason)
    ends = [_miss(asked, value) for value in (figure.value, figure.low, figure.high)]
    misses = max(ends) if sure else ends[0]
    same = len({end == 0 for end in ends}) == 1
    return Check(asked.name, asked.unit, asked.limit, asked.at_most, figure, misses, same, "")


def _miss(asked: Requirement, value: float) -> float:
    return max(0.0, value - asked.limit if asked.at_most else asked.limit - value)


def requirements(wanted: Wanted) -> list[Requirement]:
    """Those that were asked for."""
    return list(_requirements(wanted))


def _requirements(wanted: Wanted) -> Iterator[Requirement]:
    if wanted.latency_ms is not None:
        few = f"it was not timed, or with too few samples for a p{wanted.percentile}: run it with more --repeats"
        yield Requirement("latency", "ms", wanted.latency_ms, True, lambda row: latency_of(row, wanted), "timing", few)
    if wanted.memory_mb is not None:
        unknown = "it has no memory figure, so that nobody knows whether it fits: run it on its own device"
        yield Requirement("memory", "MB", wanted.memory_mb, True, memory_of, "memory", unknown)
    if wanted.min_dice is not None:
        unlabelled = "it has no Dice: run it on labelled images with --data"
        yield Requirement("Dice", "", wanted.min_dice, False, dice_of, "quality", unlabelled)
    if (demand := wanted.camera) is not None:
        untimed = "no frame was timed: run it on its own device"
        yield Requirement(CAMERA, "frames/s", demand.rate, False, lambda row: rate_of(row, demand), "timing", untimed)


def latency_of(row: Row, wanted: Wanted) -> Figure | None:
    """The percentile over all rounds; its spread is that of the rounds that have enough samples for it."""
    timing = row.timing
    pooled = timing and getattr(timing.frame_ms if wanted.frames else timing.tile_ms, f"p{wanted.percentile}")
    if timing is None or pooled is None:
        return None
    rounds = [percentile(_samples(one, wanted), wanted.percentile) for one in timing.rounds]
    known = [pooled, *(value for value in rounds if value is not None)]
    size = timing.frame_shape if wanted.frames else row.tile
    what = f"p{wanted.percentile} of {'frames' if wanted.frames else 'tiles'} of {size[0]}x{size[1]}"
    return Figure(pooled, min(known), max(known), what)


def _samples(one: Round, wanted: Wanted) -> tuple[float, ...]:
    return one.frame_ms if wanted.frames else one.tile_ms


def memory_of(row: Row) -> Figure | None:
    """The highest peak of all rounds: a limit that is broken once is broken. Where processor and accelerator share one
    memory, what the system lost counts if that is more."""
    if row.timing is None or not row.timing.rounds:
        return None
    peaks = [max(one.memory.peak_mb, one.memory.available_drop_mb or 0.0) for one in row.timing.rounds]
    return Figure(max(peaks), max(peaks), max(peaks), f"highest of {len(peaks)} rounds, median {median(peaks):.0f}")


def dice_of(row: Row) -> Figure | None:
    """The mean over images, with its bootstrap interval."""
    if row.quality is None:
        return None
    dice = row.quality.dice
    low, high = dice.interval or (dice.mean, dice.mean)
    return Figure(dice.mean, low, high, f"mean over {dice.images} images")


def rate_of(row: Row, demand: Demand) -> Figure | None:
    """Frames a second of the camera's size; see `keeping_up`."""
    found = capacity(row, demand)
    return found and Figure(found.mean, found.low, found.high, found.assumed)
