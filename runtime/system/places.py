"""Whether a result can be written where it shall go, asked before hours of work."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from ..errors import InputError

LITTER = (".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini")  # in lower case


def check_writable(path: Path, remedy: str) -> None:
    """InputError when nothing can be written at ``path``, below folders that may not exist yet; writes nothing.

    remedy : the next step, as the end of a sentence
    """
    absolute = Path(path).expanduser().absolute()
    ground = next(folder for folder in (absolute, *absolute.parents) if folder.exists())
    if not ground.is_dir():
        msg = f"{path} cannot be written: {ground} is a file, no folder; {remedy}."
        raise InputError(msg)
    if not os.access(ground, os.W_OK):
        msg = f"{path} cannot be written: no permission in {ground}; {remedy}."
        raise InputError(msg)


def check_file(*paths: Path | None) -> None:
    """The same for files that may be there already, which a new one replaces; InputError for a folder."""
    for path in filter(None, paths):
        if path.is_dir():
            msg = f"{str(path)!r} is a folder; give a file."
            raise InputError(msg)
        check_writable(path.parent, "give another place")


def is_litter(name: str) -> bool:
    """Whether a file is one that macOS or Windows leaves in folders that somebody looks at, and nobody misses."""
    base = PurePath(name).name.lower()
    return base.startswith("._") or base in LITTER
