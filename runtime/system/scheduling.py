"""Whether a process is slow because the system gives it no processor."""

from __future__ import annotations

from pathlib import Path

Waits = dict[str, int]


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
