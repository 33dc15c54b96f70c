"""--precision auto: int8, else int8 with the worst layers in float, else fp16, else fp32: the first that holds.

Every step is a whole compilation, measured through the runtime. fp16 is always compiled too, because int8 justifies its
rounding only where it saves time: both run the same frame in turns, and where int8 saves little, that is said.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from compile.accuracy.budget import OverBudget, over_budget, remedy
from compile.accuracy.scales import ScaleMisfit
from compile.accuracy.sensitivity import sensitivity
from compile.accuracy.timing import in_turns
from compile.accuracy.verify import not_runnable, recorded
from compile.layers import kept_in_float
from runtime.errors import BudgetMissed
from runtime.metrics import HEADLINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from compile.accuracy.sensitivity import Sensitivity, Sensor
    from compile.trial import Trial
    from distill.student.student import Student

    Attempt = Callable[..., "Trial"]

log = logging.getLogger(__name__)

WORTH = 0.10  # of the time a frame takes in fp16; int8 that saves less is not worth its rounding
MIXES = 2  # that are compiled at most: each takes as long as the int8 one


@dataclass
class Step:
    """One precision that was tried.

    layers : what was asked to stay in float; refused : why it was not taken, or None
    trial : None where it was refused before anything was measured
    latency_ms : median of a frame end to end by target
    not_timed : why a target is missing there: its backend does not run here
    """

    precision: str
    layers: tuple[str, ...] = ()
    refused: str | None = None
    trial: Trial | None = None
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    not_timed: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self, target: str) -> dict[str, Any]:
        """What concerns one target, JSON-ready; what was not measured is null."""
        accuracy = None if self.trial is None else self.trial.accuracy[target]
        return {
            "precision": self.precision,
            "float_layers": [] if self.trial is None else sorted(self.trial.graph.floats.convolutions),
            "dice": None if accuracy is None else accuracy.scores[HEADLINES[0]].mean,
            "drop_points": None if accuracy is None else accuracy.drop_points,
            "latency_ms": self.latency_ms.get(target),
            "refused": self.refused,
        }


def walk(
    student: Student,
    max_drop: float | None,
    attempt: Attempt,
    sensor: Callable[[], Sensor],
    step: Callable[[str], None],
) -> tuple[Trial, list[Step]]:
    """Try one precision after the other; the first that holds the budget on every target, and all that was tried.

    attempt : compiles (precision, layers in float) and measures; sensor : made only where layers have to be chosen
    OverBudget when none holds.
    """
    steps: list[Step] = []
    found: Sensitivity | None = None

    def take(precision: str, layers: Sequence[str] = ()) -> bool:
        steps.append(_try(precision, tuple(layers), max_drop, attempt, step))
        return steps[-1].refused is None

    held = student.scheme is not None and take("int8")
    if steps and not held:
        eye = sensor()
        found = sensitivity(eye, step)
        held = any(take("mixed", layers) for layers in mixes(eye, found, steps[0], max_drop))
    held |= take("fp16")
    if not held and not take("fp32"):
        accuracy = steps[-1].trial.accuracy if steps[-1].trial else {}
        msg = f"No precision holds the budget; fp32: {steps[-1].refused}; {remedy(None)}. Nothing was written."
        tried = [{"target": target, **one.to_dict(target)} for target in accuracy for one in steps]
        raise OverBudget(msg, accuracy, found, tried)
    step("time a frame")
    _time(steps, student)
    chosen = next(one for one in steps if one.refused is None)
    assert chosen.trial is not None
    for draft in chosen.trial.drafts:
        if note := advice(steps, draft.target.name):
            draft.manifest = replace(draft.manifest, notes=(*draft.manifest.notes, note))
    return chosen.trial, steps


def mixes(sensor: Sensor, found: Sensitivity, int8: Step, max_drop: float | None) -> Iterator[tuple[str, ...]]:
    """Which layers to keep in float, few first: the misfits of the scheme, then the most sensitive ones.

    A loss of Dice is taken to be in proportion to the error of the probabilities. So mixes that promise too little by
    that are passed over, and those that keep more than half of the convolutions in float are no int8 any more.
    """
    forced = int8.layers
    order = (*forced, *(row.layer for row in found.rows if row.layer not in forced))
    wanted = float("inf")
    if int8.trial is not None and max_drop is not None:
        wanted = found.whole.difference * max(0.0, max_drop) / max(int8.trial.drops.values())
    count, made = max(1, len(forced)), 0
    while made < MIXES:
        floats = kept_in_float(sensor.layers, order[:count])
        if len(floats.convolutions) > len(sensor.layers) / 2:
            return
        if sensor.effect(floats).difference <= wanted:
            made += 1
            yield order[:count]
        count *= 2


def advice(steps: Sequence[Step], target: str) -> str | None:
    """Whether int8 pays on this target, in words; None where there is nothing to compare."""
    chosen = next(one for one in steps if one.refused is None)
    half = next((one for one in steps if one.precision == "fp16"), None)
    if half is None or chosen.precision not in ("int8", "mixed"):
        return None
    if target not in chosen.latency_ms or target not in half.latency_ms:
        reason = chosen.not_timed.get(target, "one of the two does not run")
        return f"{target}: {chosen.precision} against fp16 is not timed here: {reason}."
    mine, its = chosen.latency_ms[target], half.latency_ms[target]
    saved = 1 - mine / its
    figures = f"{mine:.1f} ms a frame, fp16 {its:.1f} ms, end to end where it was compiled"
    if saved < WORTH:
        return f"{target}: use FP16 (--precision fp16): {chosen.precision} takes {figures}: it saves less than 10 %."
    return f"{target}: {chosen.precision} takes {figures}: it saves {100 * saved:.0f} %."


def _try(
    precision: str, layers: tuple[str, ...], max_drop: float | None, attempt: Attempt, step: Callable[[str], None]
) -> Step:
    def say(what: str) -> None:
        step(f"{precision}: {what}")

    try:
        trial = attempt(precision, layers, say)
    except ScaleMisfit as error:
        result = Step(precision, error.layers, str(error))
    except BudgetMissed as error:
        result = Step(precision, layers, str(error))
    else:
        result = Step(precision, layers, over_budget(trial.drops, max_drop), trial)
    if result.refused:
        log.warning("%s: %s", precision, result.refused)
    return result


def _time(steps: Sequence[Step], student: Student) -> None:
    """Measure every step that was compiled, target by target, in turns."""
    frame = max((frame for frame, _ in recorded(student)), key=lambda frame: frame.size)
    drafts = [(one, one.trial.drafts) for one in steps if one.trial is not None]
    for one, made in drafts:
        reasons = {draft.target.name: not_runnable(draft.artifact) for draft in made}
        one.not_timed = {name: reason for name, reason in reasons.items() if reason}
    for same in zip(*(made for _, made in drafts), strict=True):  # the drafts of one target
        times = in_turns([draft.artifact for draft in same], frame)
        for (one, _), draft, milliseconds in zip(drafts, same, times, strict=True):
            if milliseconds is not None:
                one.latency_ms = {**one.latency_ms, draft.target.name: milliseconds}
