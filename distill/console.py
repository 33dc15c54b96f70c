"""What the commands of this package have in common at the terminal: log lines, a way to stop, a missing extra."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from runtime.atomic import write_bytes
from runtime.errors import EdgescopeError
from runtime.extras import install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distill.check import Examination


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
    logger = logging.getLogger(__package__)
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
        raise EdgescopeError(msg) from error
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
    if json_file:
        write_bytes(json_file, (json.dumps(asdict(found), indent=2) + "\n").encode())
    for fact in found.facts:
        print(f"ok: {fact}")
    for note in found.notes:
        print(f"note: {note}")
    found.raise_problems()
    print("all of it is there; nothing was trained")
    return 0
