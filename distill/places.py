"""Can a result be written where it is wanted? Asked before the work that makes it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def check_writable(path: Path, remedy: str) -> None:
    """InputError when nothing can be written at ``path``, below folders that may not exist yet; writes nothing.

    remedy : the next step, as the end of a sentence
    """
    ground = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        msg = f"{path} cannot be written: {ground} is no folder that can be written to; {remedy}."
        raise InputError(msg)
