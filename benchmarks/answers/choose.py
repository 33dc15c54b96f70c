"""The answer to "which device, with which artefact?": the best that meets every limit, the runner-up, and why.

Of the artefacts that meet all limits, the most accurate is the best, by the first headline metric. Artefacts within TIE
of the most accurate count as equally accurate. Of these the best is the cheapest per image where every price is known,
then the fastest, then the one with the least memory, then the smallest. The best device is the one it ran on. The
accuracy of reports of different images cannot be compared: then the fastest is the best. If none meets all limits,
the answer names the closest one for each limit. Nothing is averaged over reports: the same artefact in two reports is
two candidates.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.answers import paired
from benchmarks.answers.costing import FramePlan, ImageCost, cost_of_image, sides
from benchmarks.answers.keeping_up import CameraVerdict, verdict
from benchmarks.answers.requirements import (
    Check,
    Estimate,
    Limits,
    check,
    latency_of,
    memory_of,
    plan_of,
    quality_of,
    rate_of,
    requirements,
)
from benchmarks.report import warnings
from benchmarks.report.files import read_report
from benchmarks.report.names import machine_name, name_machines
from benchmarks.report.report import Report, Row
from runtime import metrics
from runtime.errors import InputError
from runtime.records import Record

TIE = 0.005  # of the first headline metric
LEVEL = 0.025  # at either end of the interval of a difference


@dataclass(frozen=True)
class Candidate(Record):
    """One artefact on one device, and how it stands to each limit.

    device, machine : the device's id, and what this machine is called among those of the reports
    plan : how the frame in question is segmented; rate : frames a second of it to their objects; image : its cost; None
        for what was not timed so
    """

    row: str
    device: str
    machine: str
    tile: tuple[int, int]
    threads: int | None
    created: str
    quality: float | None
    latency_ms: float | None
    memory_mb: float | None
    size_mb: float
    camera: CameraVerdict | None
    checks: tuple[Check, ...]
    plan: FramePlan | None
    rate: Estimate | None
    image: ImageCost | None

    @property
    def fits(self) -> bool:
        """Whether it meets every limit."""
        return all(one.met for one in self.checks)


@dataclass(frozen=True)
class DeviceAnswer(Record):
    """One device. best : its best artefact that fits; None where none does; why : what it misses then"""

    machine: str
    device: str
    best: Candidate | None
    why: str


@dataclass(frozen=True)
class Choice(Record):
    """What was found. best, runner_up: None where nothing, or nothing else, fits.

    devices : every machine, the best first

    why_best, why_second : reasons in words
    nearest : if none meets all limits, the candidate with the smallest sum of relative misses
    nearest_by_limit : if none meets all limits, for each limit the candidate that is closest to it
    left_out : rows that were not considered, with the reason
    warnings : the reports' own warnings
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
    devices: tuple[DeviceAnswer, ...]


def choose(reports: Sequence[Report | str | Path], limits: Limits, device: str | None = None) -> Choice:
    """The best of the reports' artefacts that meets every limit, and the runner-up.

    reports : or the files to read them from
    limits : what an artefact must meet
    device : the id of a device, or a part of its name: of its reports alone; None: of all
    Returns the answer with its reasons; if no artefact meets all limits, the closest ones. Nothing is averaged over
    reports.
    InputError: no such device; nothing ran; their frames end differently, or have different sizes and no size is
    asked for; a limit of quality on reports of different images"""
    chosen = on_device([one if isinstance(one, Report) else read_report(Path(one)) for one in reports], device)
    _check_distinct(chosen)
    comparable = _same_images(chosen, limits)
    if not limits.tiles:
        _check_frames(chosen, limits)
    machines = name_machines(chosen)
    rows = [
        (report, row, name)
        for report, name in zip(chosen, machines, strict=True)
        for row in report.rows
        if not _why_none(row)
    ]
    if not rows:
        msg = f"None of the artefacts ran on {', '.join(sorted({r.device_id for r in chosen}))}; measure one there."
        raise InputError(msg)
    candidates = [_candidate(report, row, name, limits) for report, row, name in rows]
    ranked = candidates if comparable else [replace(candidate, quality=None) for candidate in candidates]
    fitting = [i for i, candidate in enumerate(candidates) if candidate.fits]
    order = _order(fitting, ranked)
    best, second = (order[place] if len(order) > place else None for place in (0, 1))
    missed = [] if fitting else candidates
    return Choice(
        limits=limits,
        candidates=tuple(candidates),
        best=None if best is None else candidates[best],
        runner_up=None if second is None else candidates[second],
        why_best="" if best is None else _why_best(best, fitting, ranked),
        why_second="" if best is None or second is None else _why_second(best, second, ranked, rows),
        nearest=min(missed, key=_nearness, default=None),
        nearest_by_limit=tuple(_nearest_by_limit(missed)),
        left_out=tuple(f"{row.name}: {why}" for report in chosen for row in report.rows if (why := _why_none(row))),
        warnings=tuple(warnings.of_reports(chosen)),
        devices=tuple(_devices(order, candidates, dict.fromkeys(machines))),
    )


def _devices(order: Sequence[int], candidates: Sequence[Candidate], machines: Iterable[str]) -> Iterator[DeviceAnswer]:
    """Every machine with a row, ordered by its best artefact; machines where none meets all limits are last."""
    best: dict[str, Candidate] = {}
    for i in order:
        best.setdefault(candidates[i].machine, candidates[i])
    yield from (DeviceAnswer(name, candidate.device, candidate, "") for name, candidate in best.items())
    for name in machines:
        ours = [candidate for candidate in candidates if candidate.machine == name]
        if ours and name not in best:
            nearest = min(ours, key=_nearness)
            missed = ", ".join(one.name for one in nearest.checks if not one.met)
            yield DeviceAnswer(name, nearest.device, None, f"closest is {nearest.row}, which misses {missed}")


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


def _same_images(reports: Sequence[Report], limits: Limits) -> bool:
    """Whether scores compare; InputError where they do not and a limit is on one."""
    if len({warnings.images_of(report) for report in reports}) < 2:
        return True
    if limits.quality:
        specs = ", ".join(sorted({f"{report.data.images} of {shortened(report.data.spec)}" for report in reports}))
        msg = (
            f"The reports are of different images ({specs}), whose scores do not compare; give reports of one data set "
            "or leave out --quality."
        )
        raise InputError(msg)
    return False


def shortened(text: str, most: int = 60) -> str:
    """The beginning of a long text."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _check_frames(reports: Sequence[Report], limits: Limits) -> None:
    """InputError where times of frames do not compare."""
    if words := warnings.of_ends(reports):
        msg = f"The reports do not compare: {words}, or compare the network alone with --tiles."
        raise InputError(msg)
    shapes = {row.timing.frame_shape for report in reports for row in report.rows if row.timing}
    if limits.shape is None and len(shapes) > 1:
        sizes = ", ".join(map(sides, sorted(shapes)))
        msg = f"The reports timed frames of different sizes ({sizes}); name the size of your frames: --frame HxW."
        raise InputError(msg)


def _why_none(row: Row) -> str:
    if row.error:
        return row.error
    if row.agreement and not row.agreement.within_tolerance:
        return "it does not reproduce its probes there, so its speed does not count"
    if row.stand_in:
        return f"only checked with {row.backend}; it did not run on its target device"
    return ""


def _candidate(report: Report, row: Row, machine: str, limits: Limits) -> Candidate:
    quality, latency, memory = quality_of(row), latency_of(row, limits), memory_of(row)
    camera, rate = limits.camera, rate_of(row, limits)
    names = (machine_name(report), report.device_id, report.device.cpu, report.device.board or "")
    pace = 1 / camera.rate if camera else 0.0
    return Candidate(
        row=row.name,
        device=report.device_id,
        machine=machine,
        tile=row.tile,
        threads=row.threads,
        created=report.created,
        quality=quality and quality.value,
        latency_ms=latency and latency.value,
        memory_mb=memory and memory.value,
        size_mb=row.size_bytes / 1e6,
        camera=camera and verdict(row, camera, one_tile=limits.one_tile),
        checks=tuple(check(row, asked, sure=limits.sure) for asked in requirements(limits)),
        plan=plan_of(row, limits),
        rate=rate,
        image=rate and cost_of_image(row, names, 1 / rate.value, pace, limits.rates),
    )


# Which is best, and why.


def _order(fitting: Sequence[int], candidates: Sequence[Candidate]) -> list[int]:
    """The best, then the best of the rest, ..."""
    left, order = list(fitting), []
    while left:
        most = max(_accuracy(candidates[i]) for i in left)
        equal = [i for i in left if _accuracy(candidates[i]) >= most - TIE]
        priced = all(_money(candidates[i]) is not None for i in fitting)
        order.append(min(equal, key=lambda i: (_money(candidates[i]) if priced else 0.0, *_cost(candidates[i]))))
        left.remove(order[-1])
    return order


def _accuracy(candidate: Candidate) -> float:
    """Without labels nothing is known to be accurate."""
    return float("-inf") if candidate.quality is None else _sign() * candidate.quality


def _money(candidate: Candidate) -> float | None:
    return candidate.image and candidate.image.money


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
        return "the only one that meets all limits"
    if chosen.quality is None:
        kind = "fastest" if any(_money(candidates[i]) is None for i in fitting) else "cheapest per image"
        return f"the {kind} of {len(fitting)} that meet all limits; their accuracy cannot be compared"
    most = max(others, key=_accuracy)
    if most.quality is None or _accuracy(most) <= _accuracy(chosen):
        return f"the most accurate of {len(fitting)} that meet all limits"
    name, cost = _named(most, chosen), next(_costs(most, chosen), "no more expensive")
    return (
        f"{cost}, and as accurate as {name} (which has {_compared(most, chosen)}; up to {TIE:g} counts as equal); "
        f"{len(fitting)} meet all limits"
    )


def _why_second(
    best: int, second: int, candidates: Sequence[Candidate], rows: Sequence[tuple[Report, Row, str]]
) -> str:
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
    apart = "" if change.low > 0 or change.high < 0 else ": no clear difference"
    return f" (on the same {len(ours)} images {change.low:+.4f} to {change.high:+.4f}{apart})"


def _costs(base: Candidate, other: Candidate) -> Iterator[str]:
    """What the other one costs, in terms of the base."""
    if base.latency_ms and other.latency_ms and base.latency_ms != other.latency_ms:
        ratio = other.latency_ms / base.latency_ms
        yield f"{ratio:.2f}x slower" if ratio > 1 else f"{1 / ratio:.2f}x faster"
    if base.memory_mb and other.memory_mb and base.memory_mb != other.memory_mb:
        yield f"{other.memory_mb / base.memory_mb:.2f} times the memory"


def _named(candidate: Candidate, other: Candidate) -> str:
    """Its name, with the machine where that is another one."""
    return candidate.row if candidate.machine == other.machine else f"{candidate.row} on {candidate.machine}"


# Where no artefact meets all limits.


def _nearest_by_limit(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """For each limit the candidate that misses it least; of equals the one that misses least in sum."""
    for place in range(len(candidates[0].checks) if candidates else 0):
        yield min(candidates, key=lambda c: (c.checks[place].shortfall, _shortfall(c)))


def _nearness(candidate: Candidate) -> tuple[int, float]:
    """Missing figures first: what was not measured is no near miss."""
    return sum(one.misses_by is None for one in candidate.checks), _shortfall(candidate)


def _shortfall(candidate: Candidate) -> float:
    return sum(one.shortfall for one in candidate.checks if one.misses_by is not None)
