"""`python -m distill fit CONFIG.toml`: train a student."""

import re
from pathlib import Path
from typing import Annotated

import typer

from distill import settings
from distill.commands.console import (
    Check,
    ConfigFile,
    Override,
    log_to_stderr,
    show_check,
    stoppable,
    trainer_libraries,
)
from runtime.errors import InputError

RUNS = Path("runs")


def fit(
    config: ConfigFile,
    override: Override = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the student. Default: runs/NAME.")] = None,
    check: Check = False,
) -> int:
    """Train a student in float, then for INT8. An interrupted training continues when called again."""
    chosen = settings.load(config, override or ())
    folder = out or _default_folder(chosen.student.name)
    if not check:  # which lists all problems at once
        settings.check_inputs(chosen, folder)
    with trainer_libraries():
        from distill.training.preflight import examine
        from distill.training.train import fit as train
    if check:
        return show_check(examine(chosen), None)
    with log_to_stderr(), stoppable():
        student = train(chosen, folder)
    if student is None:  # of the processes that trained together, another one prints the result
        return 0
    from runtime.metrics import HEADLINES

    validation = student.metrics["validation"]
    means = {precision: scores["scores"][HEADLINES[0]]["mean"] for precision, scores in validation.items()}
    dices = ", ".join(f"{mean:.4f} {precision}" for precision, mean in means.items())
    print(f"{student.spec.name} is in {folder}: validation Dice {dices} (images: {validation['fp32']['images']})")
    return 0


def _default_folder(name: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        msg = f"student.name is {name!r}, which makes no folder name; use letters, digits, - and _, or give --out."
        raise InputError(msg)
    return RUNS / name
