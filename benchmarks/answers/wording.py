"""The answers in words, for people: what `choose` found, and what the guard found."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.answers.choose import Candidate, Choice
from benchmarks.answers.guard import Judgement
from benchmarks.answers.requirements import CAMERA, Check
from runtime import metrics

INDENT = "    "


def of_answer(answer: Choice) -> Iterator[str]:
    """Lines: the best and the runner-up with reasons, or by how much nothing fits; then all others, and warnings."""
    names = _names(answer)
    shown = [candidate for candidate in (answer.best, answer.runner_up, answer.nearest) if candidate]
    yield _scope(answer)
    if answer.best:
        yield f"best: {names[answer.best]}: {answer.why_best}"
        yield from _checks(answer.best)
        if answer.runner_up is None:
            yield "runner-up: nothing else fits"
    if answer.runner_up:
        yield f"runner-up: {names[answer.runner_up]}: {answer.why_second}"
        yield from _checks(answer.runner_up)
    if answer.nearest:
        yield from _nothing_fits(answer, answer.nearest, names)
    rest = [candidate for candidate in answer.candidates if candidate not in shown]
    yield from (f"also fits: {names[candidate]}" for candidate in rest if candidate.fits)
    yield from (f"does not fit: {names[candidate]}: {_misses(candidate)}" for candidate in rest if not candidate.fits)
    yield from (f"no candidate: {reason}" for reason in answer.left_out)
    yield from (f"warning: {one}" for one in answer.warnings)


def _names(answer: Choice) -> dict[Candidate, str]:
    """What each candidate is called: its name, and of what else tells it apart only as much as is needed."""
    ways: list[Callable[[Candidate], str]] = [
        lambda c: f" on {c.device}",
        lambda c: f", tiles of {c.tile[0]}x{c.tile[1]}",
        lambda c: f", {c.threads or 'any number of'} threads",
        lambda c: f", measured {c.created}",
    ]
    names = {c: c.row for c in answer.candidates}
    for way in ways:
        if len({way(c) for c in names}) > 1:
            names = {c: name + way(c) for c, name in names.items()}
    return names


def _scope(answer: Choice) -> str:
    devices = sorted({candidate.device for candidate in answer.candidates})
    count = len(answer.candidates)
    judged = ", each figure judged at the bad end of its spread" if answer.limits.sure else ""
    return f"{count} artefact{'' if count == 1 else 's'} on {', '.join(devices)}{judged}"


def _nothing_fits(answer: Choice, nearest: Candidate, names: Mapping[Candidate, str]) -> Iterator[str]:
    yield f"nothing fits; nearest: {names[nearest]}: {_misses(nearest)}"
    yield from _checks(nearest)
    if len(nearest.checks) < 2:
        return
    for place, candidate in enumerate(answer.nearest_by_limit):
        check = candidate.checks[place]
        yield f"nearest in {check.name}: {names[candidate]}: {'meets it' if check.met else _miss(candidate, check)}"


def _checks(candidate: Candidate) -> Iterator[str]:
    for check in candidate.checks:
        if check.name == CAMERA and candidate.camera:
            yield f"{INDENT}{candidate.camera}; {candidate.camera.assumed}"
        else:
            yield f"{INDENT}{_check(check)}"
    if not candidate.checks:
        quality = f"{metrics.load(metrics.HEADLINES[0]).title} {_or_dash(candidate.quality, '.4f')}"
        yield f"{INDENT}{quality}, latency {_or_dash(candidate.latency_ms, '.3g')} ms"


def _check(check: Check) -> str:
    """E.g. "latency 12.3 ms, at most 20 ms (p95 of tiles of 256x256, 12 to 12.9)"."""
    if check.figure is None:
        return f"{check.name}: {check.missing}"
    figure, unit = check.figure, check.unit and f" {check.unit}"
    bound = "at most" if check.at_most else "at least"
    spread = "" if figure.low == figure.high else f", {figure.low:.3g} to {figure.high:.3g}"
    doubt = "" if check.sure else ": the limit lies within, so this is not sure"
    return f"{check.name} {figure.value:.4g}{unit}, {bound} {check.limit:g}{unit} ({figure.basis}{spread}{doubt})"


def _misses(candidate: Candidate) -> str:
    return "; ".join(_miss(candidate, check) for check in candidate.checks if not check.met)


def _miss(candidate: Candidate, check: Check) -> str:
    """E.g. "latency misses by 3.1 ms (16 %)"."""
    if check.misses_by is None:
        return f"{check.name}: {check.missing}"
    if check.name == CAMERA and candidate.camera and not candidate.camera.keeps_up:
        return str(candidate.camera)
    unit = check.unit and f" {check.unit}"
    return f"{check.name} misses by {check.misses_by:.3g}{unit} ({_percent(check.shortfall)})"


def _percent(share: float) -> str:
    """E.g. "0.43 %", "16 %", "1049 %"."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def of_failures(judgements: Sequence[Judgement]) -> str:
    """One sentence: what became worse, by how much, and what was allowed."""
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
