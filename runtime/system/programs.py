"""Programs that run to their end: what they printed, and in one line why they failed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EdgescopeError
from .child import name_signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Ended = subprocess.CompletedProcess

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds this package and its sisters
QUERY_S = 20.0  # a driver that does not answer must not hold up everything
LONGEST = 300  # characters of an error line


def run(
    command: Sequence[str],
    *,
    timeout_s: float | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Ended[str]:
    """Run a program without input and keep what it prints; whatever its exit code is, it is returned.

    EdgescopeError when it takes longer than timeout_s.
    """
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=timeout_s, env=environment, cwd=folder,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"{command[0]} took longer than {error.timeout / 60:.3g} minutes"
        raise EdgescopeError(msg) from error


def run_or_raise(
    command: Sequence[str], *, timeout_s: float | None = None, environment: Mapping[str, str] | None = None
) -> Ended[str]:
    """The same, with EdgescopeError(failure) for any exit code but 0."""
    ended = run(command, timeout_s=timeout_s, environment=environment)
    if ended.returncode != 0:
        raise EdgescopeError(failure(ended))
    return ended


def ask(program: str, *arguments: str) -> str | None:
    """What an installed program prints; None where it is not installed, fails, or does not answer in 20 seconds."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        ended = run([path, *arguments], timeout_s=QUERY_S)
    except (OSError, EdgescopeError):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None


def failure(ended: Ended[str]) -> str:
    """Why a program failed: its last line that begins with "error", the signal that ended it, or its last line."""
    lines = [line.strip() for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error") and not line.endswith(":")]
    if errors:
        return errors[-1].removeprefix("error: ")[:LONGEST]
    if ended.returncode < 0:
        name = name_signal(ended.returncode)
        return f"it was killed by {name}{'; was there enough memory?' if name == 'SIGKILL' else ''}"
    return lines[-1][:LONGEST] if lines else f"it ended with exit code {ended.returncode} and no message"


def environment() -> dict[str, str]:
    """This environment, in which every Python finds these packages, wherever this process was started."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
