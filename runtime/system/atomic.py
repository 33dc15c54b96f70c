"""Files and folders that appear whole or not at all: written to a temporary place, synced, then renamed.

A killed run leaves at most hidden names (`.NAME.partial-OWNER-*`, `.NAME.old-OWNER-*`; the owner is a computer and a
process on it). The next process that writes in the folder removes them. Renaming a folder onto another one fails on
every system, so the old one is moved aside first.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import tempfile
import zlib
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator


LEFT = re.compile(
    r"\.(?P<name>.+)\.(?P<kind>partial|old)-(?P<computer>[0-9a-f]{8})\.(?P<process>\d{1,9})-[0-9a-f]{8}", re.DOTALL
)
LONGEST = 200  # bytes of a name; with what is added it is under the 255 of most file systems
_swept: set[Path] = set()  # the folders in which this process has looked for what others left
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of a disk or a quota: the place is right, and the work failed


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yield a hidden path next to `path` for a file or a folder; at the end it is renamed to `path`.

    On an error it is removed, and what was at `path` stays. InputError when nothing can be written there, and when a
    file would take the place of a folder.
    """
    make_folder(path.parent)
    _sweep_once(path.parent)
    partial = hidden(path)
    try:
        yield partial
        if path.is_dir() and partial.is_file():
            msg = f"{path} is a folder, and a file was to be written; give another name."
            raise InputError(msg)
        _sync(partial)
        _move(partial, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error.filename = str(path)  # a write that fails does not say where
        remove(partial)
        raise
    _sync_folder(path.parent)


@contextmanager
def adding(folder: Path) -> Generator[Path]:
    """As replacing, for a folder that several processes may make: the first one stays, the others are removed."""
    partial = hidden(folder)
    try:
        yield partial
        _sync(partial)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        remove(partial)
    _sync_folder(folder.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as a whole."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not there; InputError when nothing can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise
        msg = f"{folder} cannot be written: {error.strerror or error}; give another place."
        raise InputError(msg) from error
    if not os.access(folder, os.W_OK):
        msg = f"{folder} cannot be written: permission denied; give another place."
        raise InputError(msg)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove partial files that killed runs left next to `path`. The caller must be the only one to write it."""
    start = f".{_short(path.name)}"
    for entry in list(path.parent.iterdir()):
        if entry.name.startswith((f"{start}.partial-", f"{start}.old-")):
            remove(entry)


def sweep_folder(folder: Path, others_s: float | None = None) -> None:
    """Remove what processes that are no more left in a folder; before it is written to.

    What was moved aside goes back to its place where nothing has taken it.
    others_s : also remove what other computers left, when it is older; whether their processes live is not known.
        Both times are those of the folder's file system, whatever the clock of this computer shows
    """
    for entry in list(folder.iterdir()) if folder.is_dir() else ():
        match = LEFT.fullmatch(entry.name)
        if match is None:
            continue
        own = match["computer"] == _computer()
        with suppress(OSError):  # in use, or not ours: somebody else's business
            if _lives(int(match["process"])) if own else others_s is None or _age_s(entry) < others_s:
                continue
            place = folder / match["name"]
            if match["kind"] == "old" and not place.exists() and match["name"] == _short(match["name"]):
                entry.rename(place)
            else:
                remove(entry)


def _sweep_once(folder: Path) -> None:
    place = folder.absolute()
    if place not in _swept:
        _swept.add(place)
        sweep_folder(place)


def _age_s(entry: Path) -> float:
    with tempfile.TemporaryFile(dir=entry.parent) as now:
        return os.fstat(now.fileno()).st_mtime - entry.stat().st_mtime


def _move(partial: Path, path: Path) -> None:
    if not path.is_dir():
        partial.replace(path)
        return
    aside = hidden(path, "old")
    path.rename(aside)
    try:
        partial.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    remove(aside)


def hidden(path: Path, kind: str = "partial") -> Path:
    """A new name next to `path` that `sweep_folder` removes when this process is no more; "old": that it moves back."""
    return path.with_name(f".{_short(path.name)}.{kind}-{_computer()}.{os.getpid()}-{os.urandom(4).hex()}")


def _short(name: str) -> str:
    """The name, or a hash of one that would be too long with what is added to it."""
    data = os.fsencode(name)
    return name if len(data) <= LONGEST else f"{zlib.crc32(data):08x}-{len(data)}"


@cache
def _computer() -> str:
    """This computer, or the container: two with one name do not see each other's processes."""
    processes = Path("/proc/self/ns/pid")
    space = os.readlink(processes) if processes.is_symlink() else ""  # noqa: PTH115
    return f"{zlib.crc32((platform.node() + space).encode(errors='replace')):08x}"


def _lives(process: int) -> bool:
    """Whether a process of this computer is there; where that cannot be asked, it is taken to be."""
    if process == os.getpid():
        return True
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _sync(path: Path) -> None:
    if path.is_dir():
        for entry in path.iterdir():
            _sync(entry)
        _sync_folder(path)
    else:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder, and needs no such call
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
