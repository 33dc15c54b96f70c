"""Which process gets the processor: the priority of workers, and whether one is slow as the system gives it none."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# A frame that comes later is a loss of one frame; a camera that waits may be the loss of the experiment.
NICENESS = 19

Waits = dict[str, int]


def step_back(pid: int) -> None:
    """Give a process that has just begun the lowest priority, where POSIX is: its imports take a core for a second."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):  # it is gone already
            os.setpriority(os.PRIO_PROCESS, pid, NICENESS)


def waits(pid: int, root: Path = Path("/proc")) -> Waits:
    """Nanoseconds that each thread of a process was ready to run and had no processor, since it began; by thread.

    Empty where the system does not tell: anywhere but on Linux (proc(5), schedstat), and for a process that is gone.
    """
    found: Waits = {}
    for file in root.glob(f"{pid}/task/*/schedstat"):
        try:
            found[file.parent.name] = int(file.read_text(encoding="ascii").split()[1])
        except (OSError, ValueError, IndexError):  # a thread that ended meanwhile
            continue
    return found


def longest_wait_s(now: Waits, before: Waits | None = None) -> float:
    """Seconds that the thread that waited longest was without a processor, since it began or since `before`."""
    return max((waited - (before or {}).get(thread, 0) for thread, waited in now.items()), default=0) / 1e9
