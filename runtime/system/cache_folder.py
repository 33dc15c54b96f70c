"""Where what is made on this device is kept between runs: private to the user, for it may hold code."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from ..errors import InputError
from .atomic import make_folder

VARIABLE = "EDGESCOPE_CACHE"


def locate(kind: str, given: Path | None = None) -> Path:
    """The folder for a kind of thing, "engines": in the one given, in EDGESCOPE_CACHE, or in the user's cache."""
    if given is None and os.environ.get(VARIABLE):
        given = Path(os.environ[VARIABLE])
    return (given.expanduser() if given else _of_user()) / kind


def open_private(folder: Path) -> Path:
    """Make the folder, for its user alone. InputError when it belongs to somebody else, or is a link to elsewhere."""
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or not is_ours(found):
        msg = f"{folder} is no folder of this user's, and is not trusted; give another place, or set {VARIABLE}."
        raise InputError(msg)
    if os.name == "posix" and (mode := stat.S_IMODE(found.st_mode)) & 0o077:
        if mode & 0o022 and any(folder.iterdir()):
            msg = f"{folder} can be written by others, and is not trusted; remove it, or set {VARIABLE}."
            raise InputError(msg)
        folder.chmod(0o700)
    return folder


def is_ours(found: os.stat_result) -> bool:
    """Whether a file or folder belongs to the user of this process. Windows keeps a user's folder private itself."""
    return sys.platform == "win32" or found.st_uid == os.getuid()


def _of_user() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "edgescope" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgescope"
