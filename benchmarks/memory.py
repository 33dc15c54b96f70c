"""Resident memory of this process: now, and at its highest. Measured in a process that does nothing else.

Linux keeps the peak per program (`VmHWM`), which a parent's memory does not touch; elsewhere the system's own
counters are asked.
"""

import sys
from pathlib import Path

import psutil

MEGABYTE = 1e6


def resident_mb() -> float:
    """Resident memory now, in megabytes (10^6 bytes)."""
    return psutil.Process().memory_info().rss / MEGABYTE


def peak_mb() -> float:
    """The highest resident memory since this program started, in megabytes (10^6 bytes)."""
    if sys.platform == "linux":
        return _status_bytes("VmHWM") / MEGABYTE
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / MEGABYTE
    from resource import RUSAGE_SELF, getrusage

    return getrusage(RUSAGE_SELF).ru_maxrss / MEGABYTE  # bytes on macOS


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    msg = f"/proc/self/status has no {field}."
    raise OSError(msg)
