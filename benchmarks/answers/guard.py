"""Whether a new state is worse than an old one by more than is allowed, with noise given its due.

A figure fails only when the near end of its interval lies beyond the limit, so that noise alone fails a comparison in
one of twenty at most: the 5 % are shared by all figures that are judged (Bonferroni). Latency, load and memory are
paired by round, quality by image. What the comparison could have seen is said with each figure, so that "holds"
is not mistaken for "was looked at closely enough".
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import paired
from benchmarks.measures.figures import Round, is_pooled
from benchmarks.report import warnings
from benchmarks.report.report import Report, Row
from runtime import metrics
from runtime.errors import InputError
from runtime.records import Record

FALSE_ALARMS = 0.05  # of a whole comparison in which nothing changed
FEWEST_IMAGES = 5
LIMIT = re.compile(r"([a-z0-9_]+):(\d+(?:\.\d+)?)(%?)")

GuardVerdict = Literal["holds", "cannot tell", "worse", "missing"]


@dataclass(frozen=True)
class Limit(Record):
    """How much worse a metric may get: percent of the old figure, or the metric's own unit."""

    metric: str
    amount: float
    percent: bool

    @property
    def unit(self) -> str:
        """What `amount` counts."""
        return "%" if self.percent else guarded(self.metric).unit


@dataclass(frozen=True)
class Judgement(Record):
    """One figure of one row, old and new. worse_by, low, high and visible are in the limit's unit; above 0 is worse.

    low, high : the interval of worse_by
    visible : a worsening that 8 of 10 such comparisons would have found"""

    row: str
    limit: Limit
    old: float | None
    new: float | None
    worse_by: float | None
    low: float | None
    high: float | None
    visible: float | None
    pairs: int
    verdict: GuardVerdict
    reason: str

    @property
    def failed(self) -> bool:
        """Whether the comparison fails because of it."""
        return self.verdict in ("worse", "missing")


@dataclass(frozen=True)
class GuardResult(Record):
    """What a comparison found, and what else is to be known."""

    findings: tuple[Judgement, ...]
    remarks: tuple[str, ...]


def parse_limits(text: str) -> list[Limit]:
    """Read "latency:10%,dice:0.3"; InputError names the part that is no limit."""
    limits = [_parse_limit(part.strip()) for part in text.split(",")]
    if repeated := {limit.metric for limit in limits if [other.metric for other in limits].count(limit.metric) > 1}:
        msg = f"{', '.join(sorted(repeated))} has two limits in {text!r}; give one for each metric."
        raise InputError(msg)
    return limits


def _parse_limit(part: str) -> Limit:
    match = LIMIT.fullmatch(part)
    if match is None or match[1] not in names():
        msg = (
            f"{part!r} is no limit; give METRIC:AMOUNT or METRIC:PERCENT%, e.g. latency:10%, with {', '.join(names())}."
        )
        raise InputError(msg)
    return Limit(match[1], float(match[2]), bool(match[3]))


def guard(old: Report, new: Report, limits: Sequence[Limit]) -> list[Judgement]:
    """Judge every limit on every row of `old`, each against the row of the same name in `new`.

    limits : from parse_limits, e.g. of "latency:10%,dice:0.3"
    InputError: the reports do not compare, or a limit is on what the old one did not measure"""
    _check_comparable(old, new)
    renewed = _named(new)
    rows = _named(old).items()
    asked = [
        (name, row, limit) for name, row in rows for limit in limits if guarded(limit.metric).value(row) is not None
    ]
    if idle := {limit.metric for limit in limits} - {limit.metric for *_, limit in asked}:
        msg = f"No row of the old report has {' or '.join(sorted(idle))}; measure it, or leave out its limit."
        raise InputError(msg)
    level, slower = FALSE_ALARMS / len(asked), machine_slower(old, new)
    return [_judge(name, row, renewed.get(name), limit, level, slower) for name, row, limit in asked]


def _named(report: Report) -> dict[str, Row]:
    """The rows by their names; one name may stand for several, run in different ways, which then are counted."""
    count = Counter[str]()
    named: dict[str, Row] = {}
    for row in report.rows:
        count[row.name] += 1
        named[row.name if count[row.name] == 1 else f"{row.name} ({count[row.name]})"] = row
    return named


def machine_slower(old: Report, new: Report) -> float:
    """By which share the calibration loop, which touches no artefact, took longer in the new run; 0 if not timed."""
    if old.noise is None or new.noise is None:
        return 0.0
    before, after = (noise.before.median_ms * noise.after.median_ms for noise in (old.noise, new.noise))
    return (after / before) ** 0.5 - 1


def _judge(name: str, old: Row, new: Row | None, limit: Limit, level: float, slower: float) -> Judgement:
    metric = guarded(limit.metric)
    before, after = metric.value(old), new and metric.value(new)
    if new is None or after is None or before is None:
        reason = "the new report has no such row" if new is None else new.error or "the new report lacks the figure"
        return Judgement(name, limit, before, None, None, None, None, None, 0, "missing", reason)
    change = metric.change(old, new, level, limit.percent)
    if metric.timed:
        change = paired.widened(change, slower, before, relative=limit.percent)
    factor = 100.0 if limit.percent else metric.scale
    by, low, high, seen = (factor * v for v in (change.estimate, change.low, change.high, change.visible))
    verdict, reason = _verdict(low, high, limit, metric.pairs)
    return Judgement(name, limit, before, after, by, low, high, limit.amount + seen, change.pairs, verdict, reason)


def _verdict(low: float, high: float, limit: Limit, pairs: str) -> tuple[GuardVerdict, str]:
    if low > limit.amount:
        return "worse", f"at least {low:.3g} {limit.unit} worse, {limit.amount:g} {limit.unit} are allowed"
    if high <= limit.amount:
        return "holds", ""
    return "cannot tell", f"the interval reaches across the limit: more {pairs} would tell"


def _check_comparable(old: Report, new: Report) -> None:
    """Same machine, same images, same way of measuring: else a difference has more than one reason."""
    for what, before, after in _conditions(old, new):
        if before != after:
            msg = f"The reports do not compare: {what} was {_shown(before)} and is {_shown(after)}; measure both alike."
            raise InputError(msg)


def _shown(condition: object) -> object:
    return "not set" if condition is None else condition


def _conditions(old: Report, new: Report) -> Iterator[tuple[str, Any, Any]]:
    yield "the device", old.device_id, new.device_id
    yield "the processor", old.device.cpu, new.device.cpu
    yield "the number of images", old.data.images, new.data.images
    if old.data.content and new.data.content:
        yield "the images' checksum", old.data.content[:12], new.data.content[:12]
    else:
        yield "the data", old.data.spec, new.data.spec
    yield "the number of threads", old.protocol.threads, new.protocol.threads
    renewed = _named(new)
    for name, row in _named(old).items():
        if (other := renewed.get(name)) is not None:
            yield f"the end of the timed frames of {name} (--until)", row.until, other.until
            yield f"the tile of {name}", row.tile, other.tile
            yield f"the backend of {name}", row.backend, other.backend
            yield f"the number of threads of {name}", row.threads, other.threads


def remarks(old: Report, new: Report) -> Iterator[str]:
    """How it was judged, and what else changed between the reports."""
    yield (
        "fails where the near end of an interval is beyond its limit: noise alone does so in one comparison of "
        f"{1 / FALSE_ALARMS:.0f} at most; visible: a worsening that 8 of 10 such comparisons find"
    )
    if slower := machine_slower(old, new):
        change = f"{100 * abs(slower):.1f} % {'slower' if slower > 0 else 'faster'}"
        yield f"the machine itself was {change} in the new run; the intervals of times allow for it"
    yield from warnings.of_reports([old, new])
    before, after = ({"os": r.device.os, **r.device.versions, **r.device.drivers} for r in (old, new))
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield f"{name} changed: {before.get(name, 'none')} -> {after.get(name, 'none')}"
    before = _named(old)
    yield from (f"{name} is new, and is not judged" for name in _named(new) if name not in before)


# What is guarded.


@dataclass(frozen=True)
class Guarded:
    """A figure of a row. change: how much worse it got, as a share of the old figure or in units of 1 / scale.

    pairs : what would make the judgement sharper
    timed : whether a slower machine makes it worse
    """

    unit: str
    pairs: str
    scale: float
    value: Callable[[Row], float | None]
    change: Callable[[Row, Row, float, bool], paired.PairedChange]
    timed: bool = False


def _by_round(unit: str, figure: Callable[[Round], float], *, timed: bool) -> Guarded:
    """A figure of every round; its value is the median over the rounds."""

    def values(row: Row) -> NDArray[np.float64]:
        return np.array([figure(one) for one in row.timing.rounds] if row.timing else [])

    def value(row: Row) -> float | None:
        return float(np.median(values(row))) if row.timing else None

    def change(old: Row, new: Row, level: float, relative: bool) -> paired.PairedChange:
        before, after = values(old), values(new)
        count = min(len(before), len(after))
        if count < paired.FEWEST:
            msg = (
                f"{old.name} was measured in {count} round; a guard needs {paired.FEWEST} or more: run with --rounds 5."
            )
            raise InputError(msg)
        return paired.of_rounds(after[:count], before[:count], level, relative=relative)

    return Guarded(unit, "rounds", 1.0, value, change, timed)


def _by_image(name: str) -> Guarded:
    """A metric over images: shares in points of 100, all others in their own unit."""
    metric, pooled = metrics.load(name), is_pooled(name)
    sign = -1.0 if metric.better == "higher" else 1.0

    def value(row: Row) -> float | None:
        return row.quality and row.quality.figure(name)

    def over(parts: NDArray[np.float64], picks: NDArray[np.int64]) -> NDArray[np.float64]:
        if pooled:
            return np.array([metric.pooled(tuple(sums)) for sums in parts[picks].sum(axis=1)], np.float64)
        values = np.array([metric.of_image(tuple(one)) for one in parts], np.float64)
        return values[picks].mean(axis=1)

    def change(old: Row, new: Row, level: float, relative: bool) -> paired.PairedChange:
        before, after = _paired_images(old, new, name)

        def worse_by(picks: NDArray[np.int64]) -> NDArray[np.float64]:
            was, now = over(before, picks), over(after, picks)
            worse = sign * (now - was)
            return worse / np.maximum(was, 1e-9) if relative else worse

        return paired.of_images(worse_by, len(before), level)

    return Guarded(metric.unit or "points", "images", 1.0 if metric.unit else 100.0, value, change)


def _paired_images(old: Row, new: Row, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The parts of the images, (images, parts), of either report, paired by name."""
    before, after = (
        {image.name: image.parts[metric] for image in row.quality.images if metric in image.parts}
        if row.quality
        else {}
        for row in (old, new)
    )
    if before.keys() != after.keys() or len(before) < FEWEST_IMAGES:
        same = len(before.keys() & after.keys())
        msg = (
            f"{old.name} was scored on {len(before)} and {len(after)} images, of which {same} are the same; a guard "
            f"needs the same ones, {FEWEST_IMAGES} or more."
        )
        raise InputError(msg)
    return np.array(list(before.values()), np.float64), np.array([after[name] for name in before], np.float64)


def _size_change(old: Row, new: Row, level: float, relative: bool) -> paired.PairedChange:
    """A file has one size: nothing about it is noise."""
    by = (new.size_bytes - old.size_bytes) / (old.size_bytes if relative else 1e6)
    return paired.PairedChange(by, by, by, 0.0, 1)


COSTS = {
    "latency": _by_round("ms", lambda one: float(np.median(one.frame_ms)), timed=True),
    "network": _by_round("ms", lambda one: float(np.median(one.tile_ms)), timed=True),
    "load": _by_round("ms", lambda one: one.load_ms, timed=True),
    "memory": _by_round("MB", lambda one: one.memory.peak_mb, timed=False),
    "size": Guarded("MB", "files", 1.0, lambda row: row.size_bytes / 1e6, _size_change),
}


def names() -> tuple[str, ...]:
    """What can be guarded: costs, and every metric of quality."""
    return (*COSTS, *metrics.names())


def guarded(name: str) -> Guarded:
    """How to judge it."""
    return COSTS[name] if name in COSTS else _by_image(name)
