"""One process at a time for one place: a lock that the system lets go of with its process, however that one ends."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..errors import EdgescopeError, InputError
from .atomic import make_folder, sweep_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

POLL_S = 0.2

log = logging.getLogger(__name__)


@contextmanager
def only_run(out: Path) -> Generator[None]:
    """Be the only run that writes `out`, through a file `.OUT.lock` next to it.

    EdgescopeError when another process is at it. It is known where the file system has locks, also over a network;
    where it has none, that is logged.
    """
    path = _beside(out)
    handle = _take(path)
    if handle is None:
        msg = f"Another process is making {out}; wait for it, or choose another place."
        raise EdgescopeError(msg)
    try:
        yield
    finally:
        _give_back(path, handle)


def tidy(out: Path) -> None:
    """Remove what a run that was killed with `out` complete left beside it, also its lock; not of one at work."""
    if out.with_name(f".{out.name}.lock").exists():
        with suppress(EdgescopeError, OSError), only_run(out):
            sweep_folder(out.parent)


@contextmanager
def in_turn(out: Path, waiting: Callable[[float], None], limit_s: float) -> Generator[None]:
    """As `only_run`, but wait until the other process is done: waiting(seconds so far) is called all the while.

    EdgescopeError when the other one takes longer than limit_s.
    """
    path = _beside(out)
    start = time.monotonic()
    while (handle := _take(path)) is None:
        waited = time.monotonic() - start
        if waited > limit_s:
            msg = f"Another process has been making {out} for {waited:.0f} s; end it, or wait for it."
            raise EdgescopeError(msg)
        waiting(waited)
        time.sleep(POLL_S)
    try:
        yield
    finally:
        _give_back(path, handle)


def _beside(out: Path) -> Path:
    path = out.with_name(f".{out.name}.lock")
    make_folder(path.parent)
    return path


def _give_back(path: Path, handle: int) -> None:
    if os.name == "posix":  # while it is locked, so that it is not the next one's file
        path.unlink(missing_ok=True)
        os.close(handle)
    else:  # Windows removes no open file, and none that the next one has opened meanwhile
        os.close(handle)
        with suppress(OSError):
            path.unlink()


def _take(path: Path) -> int | None:
    """Open and lock the file; None when somebody else has it. InputError for a link, which may lead anywhere."""
    while True:
        if path.is_symlink():
            msg = f"{path} is a link, where a file of ours is to be; remove it."
            raise InputError(msg)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if not _lock(handle):
                os.close(handle)
                return None
            if os.path.samestat(os.fstat(handle), path.lstat()):
                return handle
        except FileNotFoundError:  # removed by who had it, between the opening and the locking
            pass
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        log.warning("this file system has no locks (%s): make sure that no other process writes the same OUT", error)
    return True
