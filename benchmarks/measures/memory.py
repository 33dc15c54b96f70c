"""Memory of this process, now and at its highest, and of the accelerator. Measured in a process that does nothing else.

Linux keeps the peak per program (`VmHWM`), which a parent's memory does not touch; elsewhere the system's own
counters are asked. An accelerator with memory of its own is asked through its driver; one that shares the system's
memory, as a Jetson's, does not show in the process, and what the system has left (`MemAvailable`) is compared.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measures.figures import Memory
from runtime.system.programs import ask

MEGABYTE = 1e6
MEBIBYTE = 2**20
ROOT = Path("/")


@dataclass(frozen=True)
class Levels:
    """What is taken at one moment, in megabytes; None: there is no such thing here."""

    resident_mb: float
    device_mb: float | None
    available_mb: float | None

    @classmethod
    def now(cls) -> "Levels":
        """Look at all of them."""
        return cls(resident_mb(), device_mb(), available_mb() if has_unified_memory() else None)


def taken(before: Levels, steady: Levels) -> Memory:
    """What loading and running took, from before loading to the steady state."""
    return Memory(
        baseline_mb=before.resident_mb,
        steady_mb=steady.resident_mb,
        peak_mb=peak_mb(),
        device_mb=_less(steady.device_mb, before.device_mb),
        available_drop_mb=_less(before.available_mb, steady.available_mb),
    )


def limit_memory(megabytes: int | None) -> None:
    """Allow this process so much private memory (RLIMIT_DATA); what asks for more fails as on a full machine."""
    if megabytes is None:
        return
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 10**6, megabytes * 10**6))


def has_unified_memory(root: Path = ROOT) -> bool:
    """Whether processor and accelerator share one memory: a Jetson."""
    return (root / "etc/nv_tegra_release").exists()


def available_mb() -> float:
    """What programs can still have without swapping, in megabytes."""
    return psutil.virtual_memory().available / MEGABYTE


def device_mb() -> float | None:
    """What is in use of the memory of all NVIDIA devices, in megabytes; None where there is no such device."""
    told = ask("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits") or ""
    used = [int(line) for line in told.split() if line.isdigit()]
    return sum(used) * MEBIBYTE / MEGABYTE if used else None


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


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
