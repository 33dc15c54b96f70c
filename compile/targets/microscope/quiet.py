"""Converters talk a lot, from Python and from C++. Keep it out of the user's way, and show it when they fail."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def quiet() -> Iterator[None]:
    """Send standard output and error of this process to a file; replay its end on an exception."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = os.dup(1), os.dup(2)
        os.dup2(kept.fileno(), 1)
        os.dup2(kept.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            if failed:
                kept.seek(0, os.SEEK_END)
                kept.seek(max(0, kept.tell() - 4000))
                sys.stderr.write(kept.read().decode(errors="replace"))
