"""The one family of errors that all four packages raise, and how a command line reports them.

A library function raises; only a package's `main()` turns an exception into a line and an exit code.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

INTERRUPTED = 130  # the exit code of Ctrl-C everywhere, as shells have it: 128 + SIGINT
UNREAD = 141  # of a command whose reader went away (`| head`): 128 + SIGPIPE


class EdgescopeError(Exception):
    """The work failed. Exit code 1."""

    exit_code = 1


class InputError(EdgescopeError, ValueError):
    """The call or its input was wrong. The message says what, the value and the next step. Exit code 2."""

    exit_code = 2


class BudgetMissed(EdgescopeError):
    """The work was done, and its result is not good enough to keep. Exit code 1."""


class Interrupted(EdgescopeError):
    """Ctrl-C or SIGTERM ended the work; the message says how to go on. Exit code 130."""

    exit_code = INTERRUPTED


class BackendFailed(EdgescopeError):
    """A backend that is installed cannot make an artefact run on this device; another backend may. Exit code 1."""


def shortage(error: BaseException) -> str | None:
    """What is missing, where the system had no memory or no thread left; None for another error."""
    if isinstance(error, MemoryError):
        return str(error) or "none was left"
    if isinstance(error, RuntimeError) and "new thread" in str(error):  # CPython has no class for it
        return str(error)
    return None


@contextmanager
def enough_memory(what: str) -> Generator[None]:
    """An error of missing memory or threads inside is told as an EdgescopeError.

    what : that was to be done, as in "to open NAME"
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if (missing := shortage(error)) is None:
            raise
        msg = f"There is not enough memory {what}: {missing}."
        raise EdgescopeError(msg) from error


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names for a message: the first ones, and how many more there are."""
    first = list(names)
    more = len(first) - most
    return ", ".join(first[:most]) + (f" and {more} more" if more > 0 else "")


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """ " Did you mean NAME?" with the nearest of the names, to end a message; nothing where none is near."""
    near = get_close_matches(word, list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def report(error: BaseException, *, debug: bool) -> int:
    """Print the error as one line on standard error, with a traceback only if asked; return the exit code.

    Nothing is printed for a closed pipe: who reads `| head` has what he wanted."""
    if isinstance(error, BrokenPipeError) and not debug:
        return UNREAD
    line = " ".join(_describe(error).split())
    with suppress(OSError, ValueError):  # nobody reads it any more
        if debug:
            traceback.print_exception(type(error), error, error.__traceback__)
        sys.stderr.write(f"error: {line}\n")
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.exit_code if isinstance(error, EdgescopeError) else 1


def _describe(error: BaseException) -> str:
    if isinstance(error, EdgescopeError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if missing := shortage(error):
        return f"There was not enough memory: {missing}."
    if isinstance(error, OSError):
        if not error.strerror:  # numpy's, of a file that was cut off
            return f"a file could not be read or written in full: {error}"
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"internal: {type(error).__name__}: {error}; run again with --debug"
