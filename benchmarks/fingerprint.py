"""Describe this machine: what the system's files tell (machine.py), and what only programs and libraries know."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import psutil

from .device import Device, Finding
from .doubts import doubts
from .machine import UNKNOWN, Machine, firmware_flags

X86 = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
ARM = ("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2")
LIBRARIES = (
    *("numpy", "openvino", "ai-edge-litert", "tflite-runtime", "onnxruntime", "tensorrt", "tensorrt-rtx-cu13-bindings"),
    *("scipy", "scikit-image"),
)
QUERY_S = 20  # a driver that does not answer must not hold up everything


def fingerprint(machine: Machine | None = None) -> Device:
    """Describe this machine, or what a tree of its files tells; see device.Device."""
    machine = machine or Machine()
    info = machine.cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    affinity = _affinity()
    found = Device(
        cpu=_cpu(info),
        isa=tuple(name for name in (*X86, *ARM) if name in flags),
        board=machine.board(),
        cores=psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        logical_cores=os.cpu_count(),
        usable_cores=len(affinity) or os.cpu_count() or 1,
        affinity=affinity,
        quota_cores=machine.quota_cores(),
        clocks=machine.clocks(),
        memory_mb=psutil.virtual_memory().total // 10**6,
        memory_limit_mb=machine.memory_limit_mb(),
        numa=machine.numa(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        distribution=machine.distribution(),
        container=machine.container(),
        virtual_machine=_virtual_machine(machine),
        on_battery=_on_battery(machine),
        jetson=machine.jetson(),
        throttled=_throttled(machine),
        python=platform.python_version(),
        versions={name: version for name in LIBRARIES if (version := _version(name))},
        drivers={**machine.module_versions(), **_nvidia()},
        warnings=(),
    )
    return replace(found, warnings=doubts(found))


def _cpu(info: dict[str, str]) -> str:
    named = info.get("model name") or info.get("Model") or info.get("Hardware") or _windows_cpu()
    return named or platform.processor() or platform.machine()


def _windows_cpu() -> str | None:
    """The processor's name as a person knows it, which Windows keeps in its registry."""
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    except OSError:
        return None


def _affinity() -> tuple[int, ...]:
    """Cores this process may run on: a container or `taskset` may grant fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    process = psutil.Process()
    return tuple(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else ()


def _on_battery(machine: Machine) -> bool | None:
    if sys.platform == "linux":
        return machine.on_battery()
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def _virtual_machine(machine: Machine) -> Finding | None:
    """Named by the program that asks the processor itself, where files only say that there is a hypervisor."""
    found = machine.virtual_machine()
    if found is None or found.name != UNKNOWN:
        return found
    said = _said("systemd-detect-virt", "--vm")
    return Finding(said, "systemd-detect-virt") if said else found


def _throttled(machine: Machine) -> tuple[str, ...] | None:
    """What a Raspberry Pi's firmware says, by its kernel or by its own program."""
    flags = machine.throttled()
    said = _said("vcgencmd", "get_throttled") if flags is None else None
    return firmware_flags(said) if said else flags


def _nvidia() -> dict[str, str]:
    """Each NVIDIA device with its memory, and the driver's version."""
    said = _said("nvidia-smi", "--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader")
    rows = [[cell.strip() for cell in line.split(",")] for line in (said or "").splitlines()]
    known = [row for row in rows if len(row) == 4]
    return {f"GPU {index}": f"{name}, {memory}, driver {driver}" for index, name, memory, driver in known}


def _said(program: str, *arguments: str) -> str | None:
    """What a program prints, where it is installed and ends well."""
    found = shutil.which(program)
    if found is None:
        return None
    try:
        ended = subprocess.run([found, *arguments], capture_output=True, text=True, errors="replace", timeout=QUERY_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
