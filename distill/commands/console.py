"""What the commands of this package share: options, log lines, a way to stop, a missing extra."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.commands.output import write_json
from runtime.errors import EdgescopeError, Interrupted
from runtime.system.extras import install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distill.training.preflight import Examination


ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Training configuration.")]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting, e.g. float.steps=500."),
]
StudentName = Annotated[
    str, typer.Argument(metavar="STUDENT", help="Name of a bundled student, or a student's folder.")
]
Data = Annotated[str, typer.Option(metavar="NAME:PATH", help="Labelled data, e.g. synthetic:6@7.")]
IncludeTrained = Annotated[bool, typer.Option("--include-trained", help="Also use images that were seen in training.")]
Check = Annotated[
    bool, typer.Option("--check", help="Check the configuration and its files without computing anything.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="F", help="Write the printed result as JSON.")]


@contextmanager
def trainer_libraries() -> Iterator[None]:
    """Around imports that need the training environment."""
    try:
        yield
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed; run: {install('distill')}"
        raise EdgescopeError(msg) from error


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Show our own log lines, and none of the libraries that training stands on."""
    logger = logging.getLogger("distill")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end the work like Ctrl-C does, and say how to go on."""
    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if ours else None
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not _was_interrupted(error):
            raise
        msg = "interrupted; run the same command again to go on"
        raise Interrupted(msg) from error
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether it is an interruption, or what a library stumbled over while it was cleaning up after one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def show_check(found: Examination, json_file: Path | None) -> int:
    """Print a dry run's facts, and its problems as an error; 0 where there are none, 2 where there are."""
    write_json(json_file, asdict(found))
    for fact in found.facts:
        print(f"ok: {fact}")
    for note in found.notes:
        print(f"note: {note}")
    found.raise_problems()
    print("Configuration OK (dry run)")
    return 0
