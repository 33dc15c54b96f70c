"""A system clock that jumps while a process runs: a small library that is preloaded, where there is a C compiler.

The processes that it is preloaded into, and those that they start, see the time of day that `step` sets. Files keep the
times that the system gives them, as they do on a machine whose clock was set.
"""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from numpy.random import Generator

from runtime.errors import EdgescopeError

SOURCE = Path(__file__).with_name("clock.c")
VARIABLE = "EDGESCOPE_CLOCK"
STEPS_S = (-400 * 86400, -86400, -3600, -61, -2, 2, 61, 3600, 86400, 400 * 86400)


def environment(folder: Path) -> dict[str, str]:
    """The variables of a process whose clock `step` moves. EdgescopeError: see `compiler`, or it does not compile."""
    library, state = folder / f"clock-{os.urandom(4).hex()}.so", folder / f"clock-{os.urandom(4).hex()}"
    command = [compiler(), "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{SOURCE.name} could not be compiled: {done.stderr.strip()[-300:]}"
        raise EdgescopeError(msg)
    state.write_bytes(bytes(8))
    preloaded = filter(None, (str(library), os.environ.get("LD_PRELOAD")))
    return {VARIABLE: str(state), "LD_PRELOAD": ":".join(preloaded)}


def compiler() -> str:
    """The C compiler; EdgescopeError where there is none, and on systems that preload no libraries."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None or sys.platform != "linux":
        msg = "The clock steps only on Linux, and where there is a C compiler."
        raise EdgescopeError(msg)
    return found


def step(dice: Generator) -> float:
    """Set the clock of this process and of those that it started to another time; returns by how many seconds."""
    by = float(dice.choice(STEPS_S))
    _set(by)
    return by


def set_right() -> None:
    """Let the clock show what the system's does."""
    _set(0.0)


def _set(seconds: float) -> None:
    with Path(os.environ[VARIABLE]).open("r+b") as file:
        file.write(struct.pack("<q", round(seconds * 1e9)))
