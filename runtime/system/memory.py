"""How much memory one image may take: a limit that does not come from the file itself.

The limit is EDGESCOPE_MAX_MEMORY (`--max-memory` sets it, so that child processes and workers have it, too), or else
half of what is free when an image is read.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from ..errors import InputError

VARIABLE = "EDGESCOPE_MAX_MEMORY"
SHARE = 0.5  # of what is free
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
CGROUPS = (  # limit and use, of version 2 and 1
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
LOST = 1 << 32  # taken as free where the system does not say: 4 GiB


def limit() -> int:
    """Bytes that one image may take. InputError when the variable is no size."""
    text = os.environ.get(VARIABLE)
    return parse(text) if text else int(SHARE * available())


def parse(text: str) -> int:
    """Bytes of "4G", "512M", "1.5 GiB" or a plain number; InputError when it is none, or not above 0."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    size = int(float(match[1]) * UNITS[match[2]]) if match else 0
    if size < 1:
        msg = f"The limit of memory is {text!r}; give bytes, or a size such as 512M or 4G."
        raise InputError(msg)
    return size


def set_limit(text: str | None) -> None:
    """Take over `--max-memory`; None leaves what the variable says."""
    if text is not None:
        os.environ[VARIABLE] = str(parse(text))


def claim(size: int, what: str, remedy: str = "cut it into smaller images") -> None:
    """InputError when `what` needs more bytes than one image may take. Call it before the memory is asked for."""
    if size > (most := limit()):
        msg = (
            f"{what} needs {_readable(size)} of memory, and one image may take {_readable(most)}; {remedy}, or raise "
            f"--max-memory."
        )
        raise InputError(msg)


def available() -> int:
    """Bytes that a program can still get: what the system has free, or what a container leaves of its limit."""
    found = [size for size in (_of_windows(),) if size] if os.name == "nt" else _of_posix()
    return min(found, default=LOST)


def _of_posix() -> list[int]:
    found: list[int] = []
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) << 10)
    for most, used in CGROUPS:
        pair = [_text(f"/sys/fs/cgroup/{name}").strip() for name in (most, used)]
        if all(number.isdigit() for number in pair):
            found.append(max(0, int(pair[0]) - int(pair[1])))
    if not found and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return found


def _of_windows() -> int:
    if sys.platform != "win32":
        return 0
    import ctypes

    class MemoryStatus(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *(
                (name, ctypes.c_ulonglong)
                for name in ("total", "free", "page", "page_free", "virtual", "v_free", "more")
            ),
        )

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    done = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.free) if done else 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except (OSError, ValueError):
        return ""


def _readable(size: int) -> str:
    for unit, name in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << unit:
            return f"{size / (1 << unit):.1f} {name}"
    return f"{size} bytes"
