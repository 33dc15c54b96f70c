"""What a figure was measured on: processor, instruction sets, memory, system and library versions.

No host name and no user name: a report is made to be passed on.
"""

import os
import platform
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
class Device(Record):
    """The machine that measured. `isa` lists what decides the speed of INT8 and BF16; empty where unknown."""

    cpu: str
    isa: tuple[str, ...]
    cores: int
    usable_cores: int
    memory_mb: int
    os: str
    python: str
    versions: Mapping[str, str]

    @property
    def has_bf16(self) -> bool:
        """Whether the processor multiplies bfloat16 natively."""
        return not BF16.isdisjoint(self.isa)


def fingerprint() -> Device:
    """Describe this machine."""
    cpuinfo = _cpuinfo()
    flags = set(cpuinfo.get("flags", cpuinfo.get("Features", "")).split())
    return Device(
        cpu=cpuinfo.get("model name") or cpuinfo.get("Model") or platform.processor() or platform.machine(),
        isa=tuple(name for name in (*X86, *ARM) if name in flags),
        cores=psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        usable_cores=_usable_cores(),
        memory_mb=psutil.virtual_memory().total // 10**6,
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version for name in LIBRARIES if (version := _version(name))},
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
