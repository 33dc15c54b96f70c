"""Hold this machine back, so that it resembles a smaller one: fewer cores, less memory.

Its cores remain what they are, and so do its caches and its memory's speed. A constrained run tells whether an
artefact fits and how it scales; it is labelled as constrained, and never as the device that it resembles.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from benchmarks.host.device import Constraint
from runtime.errors import InputError
from runtime.system.processor import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_MB = 64  # Python and numpy alone take this much


@dataclass(frozen=True)
class MachineProfile:
    """cores : at most; memory_mb : of each measuring process; like : what has as much of them"""

    cores: int
    memory_mb: int | None
    like: str


PROFILES = {
    "1-core-512mb": MachineProfile(1, 512, "a small embedded host"),
    "2-cores-2gb": MachineProfile(2, 2000, "an older microscope PC under load"),
    "4-cores-2gb": MachineProfile(4, 2000, "a Raspberry Pi 4 with 2 GB"),
    "4-cores-4gb": MachineProfile(4, 4000, "a Raspberry Pi 5 with 4 GB"),
    "6-cores-8gb": MachineProfile(6, 8000, "the processor of a Jetson Orin Nano, without its GPU"),
}


def constraint(profile: str | None, cores: int | None, memory_mb: int | None) -> Constraint | None:
    """What was asked for; cores and memory_mb go before the profile's. None: nothing was.

    InputError for an unknown profile, for more cores than there are, and where a limit cannot be set."""
    if profile is None and cores is None and memory_mb is None:
        return None
    if profile is not None and profile not in PROFILES:
        listed = "; ".join(f"{name} ({one.like})" for name, one in PROFILES.items())
        msg = f"There is no profile {profile!r}; there are {listed}."
        raise InputError(msg)
    chosen = PROFILES[profile] if profile else MachineProfile(cores or usable_cores(), memory_mb, "")
    count, limit = cores or chosen.cores, memory_mb or chosen.memory_mb
    _check(count, limit)
    kept = tuple((psutil.Process().cpu_affinity() or [])[:count])
    words = [f"{count} core{'s' if count > 1 else ''}", *([f"{limit} MB"] if limit else [])]
    return Constraint(profile or "custom", f"constrained to {' and '.join(words)}", kept, limit)


@contextmanager
def held_back(limits: Constraint | None) -> Iterator[None]:
    """This process, and those that it starts, run on the constraint's cores alone; afterwards on all as before."""
    if limits is None:
        yield
        return
    process = psutil.Process()
    before = process.cpu_affinity()
    process.cpu_affinity(list(limits.cores))
    try:
        yield
    finally:
        process.cpu_affinity(before)


def _check(cores: int, memory_mb: int | None) -> None:
    if not hasattr(psutil.Process, "cpu_affinity"):
        msg = "This system cannot keep a process to some cores; measure unconstrained."
        raise InputError(msg)
    if cores > usable_cores():
        msg = f"This machine has {usable_cores()} usable cores and cannot resemble one with {cores}; give fewer."
        raise InputError(msg)
    if memory_mb is not None and sys.platform != "linux":
        msg = "A memory limit can be set on Linux alone; leave it out, with --cores in place of a profile."
        raise InputError(msg)
    if memory_mb is not None and memory_mb < LEAST_MB:
        msg = f"The memory limit is {memory_mb} MB; Python and numpy alone take about {LEAST_MB}."
        raise InputError(msg)
