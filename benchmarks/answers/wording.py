"""The answers of `choose` and of the guard in words, for people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.answers.choose import Candidate, Choice
from benchmarks.answers.costing import FramePlan, ImageCost, sides
from benchmarks.answers.guard import Judgement
from benchmarks.answers.keeping_up import duration
from benchmarks.answers.requirements import CAMERA, Check, Estimate
from runtime import metrics

INDENT = "    "
BEST, SECOND, NOTHING = "best", "runner-up", "No artefact meets all limits"
ALSO, MISSES, NOT_CONSIDERED = "also meets the limits", "misses a limit", "not considered"


@dataclass(frozen=True)
class Statement:
    """One line of an answer: its label, its text, and the lines of details below it."""

    label: str
    text: str
    details: tuple[str, ...] = ()


def of_answer(answer: Choice) -> Iterator[str]:
    """Lines for a terminal: the verdict with its reason and cost, the other artefacts, and warnings at the end."""
    for one in (*statements(answer), *(Statement("warning", text) for text in doubts(answer))):
        yield f"{one.label}: {one.text}"
        yield from (f"{INDENT}{line}" for line in one.details)


def statements(answer: Choice) -> Iterator[Statement]:
    """The verdict, the runner-up, the devices, all other artefacts, and what was measured; `doubts` come after them."""
    names = _names(answer)
    shown = [candidate for candidate in (answer.best, answer.runner_up, answer.nearest) if candidate]
    if answer.best:
        yield Statement(BEST, f"{names[answer.best]}: {answer.why_best}", tuple(_verdict(answer.best)))
        if answer.runner_up is None:
            yield Statement(SECOND, "no other artefact meets all limits")
    if answer.runner_up:
        yield Statement(SECOND, f"{names[answer.runner_up]}: {answer.why_second}", tuple(_verdict(answer.runner_up)))
    if answer.nearest:
        yield from _nothing_fits(answer, answer.nearest, names)
    yield from _devices(answer)
    rest = [candidate for candidate in answer.candidates if candidate not in shown]
    yield from (Statement(ALSO, names[candidate]) for candidate in rest if candidate.fits)
    misses = ((names[candidate], _misses(candidate)) for candidate in rest if not candidate.fits)
    yield from (Statement(MISSES, f"{name}: {missed}") for name, missed in misses)
    yield from (Statement(NOT_CONSIDERED, reason) for reason in answer.left_out)
    yield Statement("based on", _scope(answer))


def _verdict(candidate: Candidate) -> Iterator[str]:
    """The device, the tiles, the rate to objects, the cost of an image, and the limits."""
    threads = "" if candidate.threads is None else f", {candidate.threads} thread{'s' if candidate.threads > 1 else ''}"
    yield f"device: {candidate.machine}{threads}"
    if plan := candidate.plan:
        count = "one tile" if plan.tiles == 1 else f"{plan.tiles} tiles"
        yield f"frame: {sides(plan.shape)} as {count} of {sides(plan.tile)}{_estimated(plan)}"
        if plan.command:
            yield f"compile it with: {plan.command}"
    if candidate.rate:
        yield f"rate: {_rate(candidate.rate)}"
        if plan and plan.command:
            tiled = candidate.rate.value * plan.factor / plan.as_measured
            yield f"without it: {tiled:.3g} frames/s, with the measured tiles of {sides(candidate.tile)}"
    elif plan:
        yield "rate: not measured until the objects; measure again with --until objects"
    if candidate.image:
        yield from _cost(candidate.image)
    yield from _checks(candidate)


def _estimated(plan: FramePlan) -> str:
    return " (an estimate)" if plan.estimated else ""


def _rate(rate: Estimate) -> str:
    return f"{rate.value:.3g} frames/s to objects ({rate.low:.3g} to {rate.high:.3g}; {rate.basis})"


def _cost(image: ImageCost) -> Iterator[str]:
    """Time, energy and money of an image, and of a plate where one was asked for."""
    if image.joules is None:
        yield f"energy: {image.energy_from}; to include it, give --power WATTS from a meter or a data sheet"
    else:
        per_kwh = f", {image.images_per_kwh:,.0f} images per kWh" if image.images_per_kwh else ""
        yield f"energy: {image.joules:.3g} J an image{per_kwh} ({image.energy_from})"
    if image.money is not None:
        yield f"cost: {1000 * image.money:.3g} for 1,000 images ({image.money_of})"
    if image.plate_minutes is not None:
        parts = [duration(60 * image.plate_minutes)]
        parts += [] if image.plate_kwh is None else [f"{image.plate_kwh:.3g} kWh"]
        parts += [] if image.plate_money is None else [f"cost {image.plate_money:.3g}"]
        yield f"plate: {', '.join(parts)}"


def _devices(answer: Choice) -> Iterator[Statement]:
    """One line a machine, where there are several."""
    if len(answer.devices) < 2:
        return
    for place, one in enumerate(answer.devices, 1):
        if one.best is None:
            yield Statement(f"device {place}", f"{one.machine}: no artefact meets all limits; {one.why}")
        else:
            rate = f", {one.best.rate.value:.3g} frames/s to objects" if one.best.rate else ""
            money = one.best.image and one.best.image.money
            cost = "" if money is None else f", {1000 * money:.3g} for 1,000 images"
            yield Statement(f"device {place}", f"{one.machine}: {one.best.row}{rate}{cost}")


def doubts(answer: Choice) -> Iterator[str]:
    """Why the verdict may be wrong: estimates, limits within a spread, rates that overlap, noise."""
    best, second = answer.best, answer.runner_up
    if best and best.plan and best.plan.estimated:
        yield f"{sides(best.plan.shape)} was not measured with {best.row}: {best.plan.assumed}"
    if best and any(not one.sure for one in best.checks):
        unsure = ", ".join(one.name for one in best.checks if not one.sure)
        yield f"the limit of {unsure} is inside the measured spread: the verdict is not certain"
    if best and second and best.rate and second.rate and best.rate.low < second.rate.high < 2 * best.rate.value:
        if best.rate.value > second.rate.value:
            yield "the rates of the best and the runner-up overlap: measure both again in one run, with more --rounds"
    yield from answer.warnings


def _names(answer: Choice) -> dict[Candidate, str]:
    """A name for each candidate: the artefact's, followed by what tells it apart, as far as needed."""
    ways: list[Callable[[Candidate], str]] = [
        lambda c: f" on {c.machine}",
        lambda c: f", tiles of {sides(c.tile)}",
        lambda c: f", {c.threads or 'any number of'} thread{'' if c.threads == 1 else 's'}",
    ]
    names = {c: c.row for c in answer.candidates}
    for way in ways:
        if len({way(c) for c in names}) > 1:
            names = {c: name + way(c) for c, name in names.items()}
    if len(set(names.values())) < len(names):
        names = {c: f"{name}, measured {c.created}" for c, name in names.items()}
    return names


def _scope(answer: Choice) -> str:
    machines = list(dict.fromkeys(candidate.machine for candidate in answer.candidates))
    count = len(answer.candidates)
    judged = "; each value was judged at the bad end of its spread" if answer.limits.sure else ""
    return f"{count} artefact{'' if count == 1 else 's'} measured on {'; '.join(machines)}{judged}"


def _nothing_fits(answer: Choice, nearest: Candidate, names: Mapping[Candidate, str]) -> Iterator[Statement]:
    yield Statement(NOTHING, f"closest is {names[nearest]}, {_misses(nearest)}", tuple(_verdict(nearest)))
    if len(nearest.checks) < 2:
        return
    for place, candidate in enumerate(answer.nearest_by_limit):
        check = candidate.checks[place]
        text = f"{names[candidate]}, {_check(check) if check.met else _miss(candidate, check)}"
        yield Statement(f"closest in {check.name}", text)


def _checks(candidate: Candidate) -> Iterator[str]:
    for check in candidate.checks:
        if check.name == CAMERA and candidate.camera:
            yield f"camera: {candidate.camera}"
        else:
            yield f"{_check(check)}"
    if not candidate.checks:
        quality = f"{metrics.load(metrics.HEADLINES[0]).title} {_or_dash(candidate.quality, '.4f')}"
        yield f"{quality}, latency {_or_dash(candidate.latency_ms, '.3g')} ms"


def _check(check: Check) -> str:
    """E.g. "latency 12.3 ms, limit 20 ms (p95 of tiles of 256x256, 12 to 12.9)"."""
    if check.figure is None:
        return f"{check.name}: {check.missing}"
    figure, unit = check.figure, check.unit and f" {check.unit}"
    spread = "" if figure.low == figure.high else f", {figure.low:.3g} to {figure.high:.3g}"
    doubt = "" if check.sure else ": the limit is inside this range, not certain"
    return f"{check.name} {figure.value:.4g}{unit}, limit {check.limit:g}{unit} ({figure.basis}{spread}{doubt})"


def _misses(candidate: Candidate) -> str:
    return "; ".join(_miss(candidate, check) for check in candidate.checks if not check.met)


def _miss(candidate: Candidate, check: Check) -> str:
    """E.g. "latency 23.1 ms (limit 20 ms)"."""
    if check.misses_by is None or check.figure is None:
        return f"{check.name}: {check.missing}"
    if check.name == CAMERA and candidate.camera and not candidate.camera.keeps_up:
        return str(candidate.camera)
    unit = check.unit and f" {check.unit}"
    return f"{check.name} {check.figure.value:.4g}{unit} (limit {check.limit:g}{unit})"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def of_failures(judgements: Sequence[Judgement]) -> str:
    """One sentence: which values became worse, by how much, and the limits."""
    worse = [f"{one.limit.metric} of {one.row}: {one.reason}" for one in judgements if one.failed]
    return f"Worse than allowed: {'; '.join(worse)}."


HEAD = ("row", "metric", "old", "new", "worse by", "interval", "limit", "visible", "verdict")


def of_judgements(judgements: Sequence[Judgement]) -> list[tuple[str, ...]]:
    """A line of cells per figure; see HEAD."""
    return [_cells(one) for one in judgements]


def _cells(one: Judgement) -> tuple[str, ...]:
    unit = one.limit.unit
    interval = "-" if one.low is None or one.high is None else f"{one.low:+.2f} to {one.high:+.2f} {unit}"
    return (
        one.row,
        one.limit.metric,
        _or_dash(one.old, ".4g"),
        _or_dash(one.new, ".4g"),
        "-" if one.worse_by is None else f"{one.worse_by:+.2f} {unit}",
        interval,
        f"{one.limit.amount:g} {unit}",
        "-" if one.visible is None else f"{one.visible:.2f} {unit}",
        one.verdict,
    )
