"""The course of a training, gathered from the logs that its runs left: one row per phase and step.

A run that was killed and resumed leaves several logs; where they overlap, the later one counts.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PHASES = ("float", "qat")
VALIDATION = "val/dice"
LOSS = "train/loss"


@dataclass
class Moment:
    """What was logged at one step of one phase: values by the name that they were logged under.

    step : steps of the phase that were done
    """

    phase: str
    step: int
    values: dict[str, float] = field(default_factory=dict)


def read_history(logs: Path) -> list[Moment]:
    """The moments of all phases in order, from ``logs``/{float,qat}/version_*/metrics.csv; empty without logs."""
    return [moment for phase in PHASES for moment in _read_phase(logs / phase, phase)]


def to_csv(history: Sequence[Moment]) -> str:
    """Columns: phase, step, the loss and its terms, the validation Dice. Empty where nothing was logged."""
    keys = columns(history)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["phase", "step", *map(_title, keys)])
    for moment in history:
        shown = (moment.values.get(key) for key in keys)
        row = ("" if value is None else f"{value:.6g}" for value in shown)
        writer.writerow([moment.phase, moment.step, *row])
    return text.getvalue()


def columns(history: Sequence[Moment]) -> list[str]:
    """The names under which values were logged: the loss, its terms, then the validation Dice."""
    logged = {key for moment in history for key in moment.values}
    terms = sorted(key for key in logged if key.startswith("train/") and key != LOSS)
    return [key for key in (LOSS, *terms, VALIDATION) if key in logged]


def _read_phase(folder: Path, phase: str) -> list[Moment]:
    moments: dict[int, Moment] = {}
    for path in sorted(folder.glob("version_*/metrics.csv"), key=lambda path: _number(path.parent.name)):
        for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
            values = {key: float(text) for key, text in row.items() if text and key and "/" in key}
            if values and row.get("step"):
                step = int(row["step"]) + 1  # Lightning counts from zero
                moments.setdefault(step, Moment(phase, step)).values.update(values)
    return [moments[step] for step in sorted(moments)]


def _number(name: str) -> int:
    digits = name.removeprefix("version_")
    return int(digits) if digits.isdecimal() else -1


def _title(key: str) -> str:
    return {VALIDATION: "validation_dice", LOSS: "loss"}.get(key) or f"loss_{key.removeprefix('train/')}"
