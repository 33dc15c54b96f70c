"""`python -m distill head CONFIG.toml`: a segmentation head on SAM's frozen embedding, so that SAM needs no prompts."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from distill import settings
from distill.commands.console import ConfigFile, Override, log_to_stderr, stoppable, trainer_libraries

log = logging.getLogger(__name__)

EVERY = 10.0  # seconds between two lines


def head(
    config: ConfigFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the head; use it as teacher.weights.")],
    override: Override = None,
) -> int:
    """Train a segmentation head on SAM's frozen embedding; it needs no prompts."""
    chosen = settings.load(config, override or ())
    with trainer_libraries():
        from distill.teaching.head import train
    with log_to_stderr(), stoppable():
        spec = train(chosen, out, _lines(chosen.float.steps))
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
