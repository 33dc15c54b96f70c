"""What a figure was measured on: processor, instruction sets, memory, system and library versions.

No host name and no user name: a report is made to be passed on.
"""

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from runtime.records import Record

X86 = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
ARM = ("asimd", "asimddp", "i8mm", "bf16")
BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
LIBRARIES = ("numpy", "openvino", "ai-edge-litert", "tflite-runtime", "onnxruntime", "tensorrt", "scikit-image")


@dataclass(frozen=True)
class Finding(Record):
    """Something about the machine, and what gave it away."""

    name: str
    found_by: str


@dataclass(frozen=True)
class Clocks(Record):
    """The processor's clock in megahertz, and what rules it; None where the machine does not tell.

    governor : "performance", "powersave", "schedutil", ...; several, comma-separated, where cores differ
    now_mhz : the mean over the cores when the run began; under a hypervisor it may be the nominal clock
    """

    governor: str | None
    driver: str | None
    boost: bool | None
    min_mhz: float | None
    max_mhz: float | None
    now_mhz: float | None


@dataclass(frozen=True)
class Jetson(Record):
    """What decides the speed of a Jetson. nvpmodel : its power mode, e.g. "MAXN"; jetson_clocks : clocks are pinned."""

    l4t: str | None
    jetpack: str | None
    tensorrt: str | None
    nvpmodel: str | None
    jetson_clocks: bool | None


@dataclass(frozen=True)
class Constraint(Record):
    """How a run was held back to resemble a smaller machine, on this machine.

    profile : the name of the profile, or "custom"
    label : what stands beside every figure
    memory_limit_mb : of the address space of each measuring process; None where there was no limit
    """

    profile: str
    label: str
    cores: tuple[int, ...]
    threads: int | None
    memory_limit_mb: int | None


@dataclass(frozen=True)
class Device(Record):
    """The machine that measured. What could not be found out is None, or empty.

    isa : the instruction sets that decide the speed of INT8 and BF16
    board : the model in the device tree, e.g. "Raspberry Pi 5 Model B Rev 1.0"
    cores, logical_cores : of the machine; usable_cores: those that this process may run on, listed in `affinity`
    quota_cores : how many cores' time a cgroup grants
    memory_limit_mb : what a cgroup grants of memory_mb
    numa : the cores of each node, e.g. ("0-15", "16-31")
    throttled : what the board's firmware says, e.g. ("under-voltage now",); empty: nothing; None: it says nothing
    versions, drivers : of Python libraries; of kernel modules and accelerators
    warnings : what makes its times worthless or doubtful, in words
    """

    cpu: str
    isa: tuple[str, ...]
    board: str | None
    cores: int
    logical_cores: int | None
    usable_cores: int
    affinity: tuple[int, ...]
    quota_cores: float | None
    clocks: Clocks | None
    memory_mb: int
    memory_limit_mb: int | None
    numa: tuple[str, ...]
    os: str
    distribution: str | None
    container: Finding | None
    virtual_machine: Finding | None
    on_battery: bool | None
    jetson: Jetson | None
    throttled: tuple[str, ...] | None
    python: str
    versions: Mapping[str, str]
    drivers: Mapping[str, str]
    warnings: tuple[str, ...]

    @property
    def has_bf16(self) -> bool:
        """Whether the processor multiplies bfloat16 natively."""
        return not BF16.isdisjoint(self.isa)

    @property
    def id(self) -> str:
        """A name for this kind of machine: board or processor, usable cores, memory. Equal machines share it."""
        words = re.sub(r"[^a-z0-9]+", "-", (self.board or self.cpu).lower()).strip("-")
        mode = f"-{self.jetson.nvpmodel.lower()}" if self.jetson and self.jetson.nvpmodel else ""
        return f"{words}{mode}-{self.usable_cores}c-{round(self.memory_mb / 1000)}g"


def fingerprint() -> Device:
    """Describe this machine."""
    cpuinfo = _cpuinfo()
    flags = set(cpuinfo.get("flags", cpuinfo.get("Features", "")).split())
    return Device(
        cpu=cpuinfo.get("model name") or cpuinfo.get("Model") or platform.processor() or platform.machine(),
        isa=tuple(name for name in (*X86, *ARM) if name in flags),
        board=None,
        cores=psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        logical_cores=os.cpu_count(),
        usable_cores=_usable_cores(),
        affinity=(),
        quota_cores=None,
        clocks=None,
        memory_mb=psutil.virtual_memory().total // 10**6,
        memory_limit_mb=None,
        numa=(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        distribution=None,
        container=None,
        virtual_machine=None,
        on_battery=None,
        jetson=None,
        throttled=None,
        python=platform.python_version(),
        versions={name: version for name in LIBRARIES if (version := _version(name))},
        drivers={},
        warnings=(),
    )


def _cpuinfo() -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo, and of the board below it; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    fields: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _usable_cores() -> int:
    """Cores this process may run on: a container or `taskset` may grant fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
