"""What a command prints, on streams that may be closed or know few characters, and as files."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..records import Record
from ..system import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from typing import TextIO


def open_streams() -> None:
    """Let this process print whatever it is started with: closed streams lead nowhere, odd characters are escaped.

    What tifffile logs about files is said by our own errors and notes.

    A descriptor below 3 that is closed would go to the next file that is opened, and libraries print into it.
    """
    for descriptor in range(3) if os.name == "posix" else ():
        try:
            os.fstat(descriptor)
        except OSError:  # closed: what is opened now takes its place, also where no more than these may be open
            os.open(os.devnull, os.O_RDWR)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore


def close_streams() -> bool:
    """Write out what is still kept back; False where nobody reads it any more, and then nothing complains at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


EVERY_S = 60.0


@contextmanager
def told_each_minute(title: str, total: int, every_s: float = EVERY_S) -> Generator[Callable[[str], None]]:
    """While long work is under way and standard error is no terminal: a line a minute, however long a step takes.

    total : steps; what is yielded is told at the beginning of each step what is done now
    """
    done, now, start = 0, "", monotonic()
    ended = threading.Event()

    def tell(what: str) -> None:
        nonlocal done, now
        done, now = done + 1, what

    def lines() -> None:
        while not ended.wait(every_s):
            with suppress(OSError, ValueError):
                minutes = (monotonic() - start) / 60
                sys.stderr.write(f"{title}: step {done} of {total}, {now or 'starting'}, after {minutes:.0f} min\n")
                sys.stderr.flush()

    if not sys.stderr.isatty():
        with suppress(RuntimeError):  # no thread could be started
            threading.Thread(target=lines, name="progress", daemon=True).start()
    try:
        yield tell
    finally:
        ended.set()


def say(text: str) -> None:
    """Print a line of a longer work, which goes on when nobody reads it any more."""
    try:
        print(text, flush=True)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_json(path: Path | None, content: Mapping[str, Any] | Sequence[Any] | Record) -> None:
    """Write the result to the file that --json names, if it does."""
    value = content.to_dict() if isinstance(content, Record) else content
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path | None, text: str) -> None:
    """Write a table or a page to the file that an option names, if it does."""
    if path is not None:
        # The bytes of a file's name that are no text are escapes in Python, and so they are in JSON.
        atomic.write_bytes(path, text.encode(errors="backslashreplace"))
