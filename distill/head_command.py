"""`python -m distill head CONFIG.toml`: a segmentation head on SAM's frozen embedding, so that SAM needs no prompts."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from . import config as configuration
from .console import log_to_stderr, stoppable, trainer_libraries

log = logging.getLogger(__name__)

EVERY = 10.0  # seconds between two lines


def head(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Which SAM, on which labelled data.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The head's folder: teacher.weights of a student.")],
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting, e.g. float.steps=500."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> int:
    """Train a head on SAM's frozen embedding, so that SAM teaches without prompts."""
    settings = configuration.load(config, override or ())
    with trainer_libraries():
        from .head import train
    with log_to_stderr(), stoppable():
        spec = train(settings, out, _lines(settings.float.steps))
    score = "no validation images" if spec.validation_dice is None else f"validation Dice {spec.validation_dice:.4f}"
    print(f"the head is in {out}: {score} ({spec.labels}, SAM {spec.size})")
    return 0


def _lines(steps: int) -> Callable[[int, float], None]:
    last = time.monotonic()

    def show(step: int, loss: float) -> None:
        nonlocal last
        if step == steps or time.monotonic() - last >= EVERY:
            last = time.monotonic()
            log.info("head: step %d of %d, loss %.4f", step, steps, loss)

    return show
