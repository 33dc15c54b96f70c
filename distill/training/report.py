"""What a trained student's folder holds for people: its configuration, the course of its training, and its card."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from distill.config import files
from distill.training.card import card
from distill.training.curve import draw
from distill.training.history import read_history, to_csv
from runtime.errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from distill.config.sections import Config
    from distill.student.student import Student
    from distill.training.history import Moment

CONFIG, TRAINING, CURVE, CARD = "config.toml", "training.csv", "curve.png", "CARD.md"

log = logging.getLogger(__name__)


def write_report(student: Student, config: Config, work: Path, folder: Path) -> None:
    """Write config.toml, training.csv, curve.png and CARD.md into the student's folder.

    work : the working folder of the training, with the logs of all its runs
    Without matplotlib the curve is left out, with a warning: an hour of training is not lost over a picture.
    """
    history = read_history(work / "logs")
    header = f"# The configuration that trained {student.spec.name}, every default written out.\n\n"
    (folder / CONFIG).write_text(header + files.write(config), encoding="utf-8")
    (folder / TRAINING).write_text(to_csv(history), encoding="utf-8")
    drawn = _write_curve(history, student.spec.name, folder / CURVE)
    (folder / CARD).write_text(card(student, config, curve=CURVE if drawn else None), encoding="utf-8")


def _write_curve(history: Sequence[Moment], title: str, path: Path) -> bool:
    if not history:
        return False
    try:
        path.write_bytes(draw(history, title))
    except EdgescopeError as error:
        log.warning("%s is left out: %s", path.name, error)
        return False
    return True
