"""The answer to "which artefact shall I use?": the best that meets every limit, the runner-up, and why.

Of those that fit, the most accurate is the best, by the first headline metric. Artefacts within TIE of the most
accurate count as equally accurate, and of these the fastest is the best, then the one with least memory, then the
smallest. Where nothing fits, the answer is by how much, limit by limit. Nothing is averaged over reports: the same
artefact in two reports is two candidates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.answers import paired
from benchmarks.answers.keeping_up import CameraVerdict, verdict
from benchmarks.answers.requirements import Check, Limits, check, latency_of, memory_of, quality_of, requirements
from benchmarks.report import warnings
from benchmarks.report.files import read_report
from benchmarks.report.report import Report, Row
from runtime import metrics
from runtime.errors import InputError
from runtime.records import Record

TIE = 0.005  # of the first headline metric
LEVEL = 0.025  # at either end of the interval of a difference


@dataclass(frozen=True)
class Candidate(Record):
    """One artefact on one device, and how it stands to each limit."""

    row: str
    device: str
    tile: tuple[int, int]
    threads: int | None
    created: str
    quality: float | None
    latency_ms: float | None
    memory_mb: float | None
    size_mb: float
    camera: CameraVerdict | None
    checks: tuple[Check, ...]

    @property
    def fits(self) -> bool:
        """Whether it meets every limit."""
        return all(one.met for one in self.checks)


@dataclass(frozen=True)
class Choice(Record):
    """What was found. best, runner_up: None where nothing, or nothing else, fits.

    why_best, why_second : reasons in words
    nearest : where nothing fits, the candidate that misses least in sum, each limit relative
    nearest_by_limit : where nothing fits, for each limit the candidate that comes nearest to it
    left_out : rows that are no candidates, with the reason
    warnings : what the reports say about their own figures
    """

    limits: Limits
    candidates: tuple[Candidate, ...]
    best: Candidate | None
    runner_up: Candidate | None
    why_best: str
    why_second: str
    nearest: Candidate | None
    nearest_by_limit: tuple[Candidate, ...]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]


def choose(reports: Sequence[Report | str | Path], limits: Limits, device: str | None = None) -> Choice:
    """The best of the reports' artefacts that meets every limit, and the runner-up.

    reports : or the files to read them from
    limits : what an artefact must meet
    device : the id of a device, or a part of its name: of its reports alone; None: of all
    Returns the answer with its reasons; where nothing fits, by how much. Nothing is averaged over reports.
    InputError: no such device; nothing ran; the reports are of different images, or their frames end differently"""
    chosen = on_device([one if isinstance(one, Report) else read_report(Path(one)) for one in reports], device)
    _check_distinct(chosen)
    _check_same_images(chosen)
    if words := warnings.of_ends(chosen):
        msg = f"The reports do not compare: {words}."
        raise InputError(msg)
    rows = [(report, row) for report in chosen for row in report.rows if not _why_none(row)]
    if not rows:
        msg = f"None of the artefacts ran on {', '.join(sorted({r.device_id for r in chosen}))}; measure one there."
        raise InputError(msg)
    candidates = [_candidate(report, row, limits) for report, row in rows]
    fitting = [i for i, candidate in enumerate(candidates) if candidate.fits]
    order = _order(fitting, candidates)
    best, second = (order[place] if len(order) > place else None for place in (0, 1))
    missed = [] if fitting else candidates
    return Choice(
        limits=limits,
        candidates=tuple(candidates),
        best=None if best is None else candidates[best],
        runner_up=None if second is None else candidates[second],
        why_best="" if best is None else _why_best(best, fitting, candidates),
        why_second="" if best is None or second is None else _why_second(best, second, candidates, rows),
        nearest=min(missed, key=_nearness, default=None),
        nearest_by_limit=tuple(_nearest_by_limit(missed)),
        left_out=tuple(f"{row.name}: {why}" for report in chosen for row in report.rows if (why := _why_none(row))),
        warnings=tuple(warnings.of_reports(chosen)),
    )


def on_device(reports: Sequence[Report], device: str | None) -> list[Report]:
    """The reports of a device: its id, or a part of its id or name that fits one device only."""
    if device is None:
        return list(reports)
    ids = {report.device_id for report in reports}
    names = {r.device_id: f"{r.device_id} {r.device.board or ''} {r.device.cpu}".lower() for r in reports}
    matching = {device} & ids or {id_ for id_, name in names.items() if device.lower() in name}
    if len(matching) != 1:
        what = "fits several devices" if matching else "fits no device"
        msg = f"{device!r} {what} of the reports; give one of {', '.join(sorted(matching or ids))}."
        raise InputError(msg)
    return [report for report in reports if report.device_id in matching]


def _check_distinct(reports: Sequence[Report]) -> None:
    if repeated := [report for i, report in enumerate(reports) if report in reports[:i]]:
        msg = f"The report of {repeated[0].device_id} of {repeated[0].created} was given twice; give it once."
        raise InputError(msg)


def _check_same_images(reports: Sequence[Report]) -> None:
    if len({warnings.images_of(report) for report in reports}) > 1:
        specs = ", ".join(sorted({f"{report.data.images} of {report.data.spec}" for report in reports}))
        msg = (
            f"The reports are of different images ({specs}), whose scores do not compare; give reports of one data set."
        )
        raise InputError(msg)


def _why_none(row: Row) -> str:
    if row.error:
        return row.error
    if row.stand_in:
        return f"checked with {row.backend}, and did not run on its own device"
    return ""


def _candidate(report: Report, row: Row, limits: Limits) -> Candidate:
    quality, latency, memory = quality_of(row), latency_of(row, limits), memory_of(row)
    return Candidate(
        row=row.name,
        device=report.device_id,
        tile=row.tile,
        threads=row.threads,
        created=report.created,
        quality=quality and quality.value,
        latency_ms=latency and latency.value,
        memory_mb=memory and memory.value,
        size_mb=row.size_bytes / 1e6,
        camera=limits.camera and verdict(row, limits.camera),
        checks=tuple(check(row, asked, sure=limits.sure) for asked in requirements(limits)),
    )


# Which is best, and why.


def _order(fitting: Sequence[int], candidates: Sequence[Candidate]) -> list[int]:
    """The best, then the best of the rest, ..."""
    left, order = list(fitting), []
    while left:
        most = max(_accuracy(candidates[i]) for i in left)
        equal = [i for i in left if _accuracy(candidates[i]) >= most - TIE]
        order.append(min(equal, key=lambda i: _cost(candidates[i])))
        left.remove(order[-1])
    return order


def _accuracy(candidate: Candidate) -> float:
    """Without labels nothing is known to be accurate."""
    return float("-inf") if candidate.quality is None else _sign() * candidate.quality


def _cost(candidate: Candidate) -> tuple[float, float, float, str, str]:
    unknown = float("inf")
    return (
        unknown if candidate.latency_ms is None else candidate.latency_ms,
        unknown if candidate.memory_mb is None else candidate.memory_mb,
        candidate.size_mb,
        candidate.row,
        candidate.created,
    )


def _why_best(best: int, fitting: Sequence[int], candidates: Sequence[Candidate]) -> str:
    chosen, others = candidates[best], [candidates[i] for i in fitting if i != best]
    if not others:
        return "the only one that fits"
    if chosen.quality is None:
        return f"the fastest of {len(fitting)} that fit; without labels nothing is known of their accuracy"
    most = max(others, key=_accuracy)
    if most.quality is None or _accuracy(most) <= _accuracy(chosen):
        return f"the most accurate of {len(fitting)} that fit"
    behind = f"{_named(most, chosen)} has {_compared(most, chosen)}, and within {TIE:g} counts as equal"
    return f"of {len(fitting)} that fit, as accurate as any ({behind}) and {next(_costs(most, chosen), 'no dearer')}"


def _why_second(best: int, second: int, candidates: Sequence[Candidate], rows: Sequence[tuple[Report, Row]]) -> str:
    first, other = candidates[best], candidates[second]
    reasons = [*_difference(first, other, rows[best][1], rows[second][1]), *_costs(first, other)]
    return "; ".join(reasons) or "measured the same"


def _difference(first: Candidate, other: Candidate, row: Row, against: Row) -> Iterator[str]:
    if first.quality is not None and other.quality is not None:
        yield f"{_compared(other, first)}{_told_apart(row, against)}"


def _compared(one: Candidate, other: Candidate) -> str:
    """E.g. "0.0031 more Dice"."""
    metric, by = metrics.load(metrics.HEADLINES[0]), (one.quality or 0.0) - (other.quality or 0.0)
    return f"{abs(by):.{metric.decimals}f} {'more' if by > 0 else 'less'} {metric.title}"


def _sign() -> float:
    return 1.0 if metrics.load(metrics.HEADLINES[0]).better == "higher" else -1.0


def _told_apart(row: Row, against: Row) -> str:
    """Whether the same images tell the two apart."""
    ours, theirs = (
        {image.name: value for image in r.quality.images if (value := image.value(metrics.HEADLINES[0])) is not None}
        if r.quality
        else {}
        for r in (row, against)
    )
    if ours.keys() != theirs.keys() or len(ours) < paired.FEWEST:
        return ""
    differences = np.array([theirs[name] - ours[name] for name in ours])
    change = paired.of_images(lambda picks: differences[picks].mean(axis=-1), len(differences), LEVEL)
    apart = "" if change.low > 0 or change.high < 0 else ", so that they cannot be told apart"
    return f" (on the same {len(ours)} images {change.low:+.4f} to {change.high:+.4f}{apart})"


def _costs(base: Candidate, other: Candidate) -> Iterator[str]:
    """What the other one costs, in terms of the base."""
    if base.latency_ms and other.latency_ms and base.latency_ms != other.latency_ms:
        ratio = other.latency_ms / base.latency_ms
        yield f"{ratio:.2f} times as slow" if ratio > 1 else f"{1 / ratio:.2f} times as fast"
    if base.memory_mb and other.memory_mb and base.memory_mb != other.memory_mb:
        yield f"{other.memory_mb / base.memory_mb:.2f} times the memory"


def _named(candidate: Candidate, other: Candidate) -> str:
    """Its name, with the device where that is another one."""
    return candidate.row if candidate.device == other.device else f"{candidate.row} on {candidate.device}"


# Where nothing fits.


def _nearest_by_limit(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """For each limit the candidate that misses it least; of equals the one that misses least in sum."""
    for place in range(len(candidates[0].checks) if candidates else 0):
        yield min(candidates, key=lambda c: (c.checks[place].shortfall, _shortfall(c)))


def _nearness(candidate: Candidate) -> tuple[int, float]:
    """Missing figures first: what was not measured is no near miss."""
    return sum(one.misses_by is None for one in candidate.checks), _shortfall(candidate)


def _shortfall(candidate: Candidate) -> float:
    return sum(one.shortfall for one in candidate.checks if one.misses_by is not None)
