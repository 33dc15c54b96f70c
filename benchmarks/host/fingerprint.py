"""Describe this machine: what the system's files tell (machine.py), and what only programs and libraries know."""

import os
import platform
import sys
from dataclasses import replace

import psutil

from benchmarks.host.device import Detection, Device
from benchmarks.host.machine import UNKNOWN, Machine, firmware_flags
from benchmarks.host.warnings import warnings_of
from runtime import backend as backends
from runtime.system.extras import UNKNOWN as NOT_INSTALLED
from runtime.system.extras import version
from runtime.system.processor import cpu_flags, cpu_model
from runtime.system.programs import ask

LIBRARIES = ("numpy", "scipy", "scikit-image")  # and those of the backends


def fingerprint(machine: Machine | None = None) -> Device:
    """Describe this machine, or what a tree of its files tells; see device.Device."""
    machine = machine or Machine()
    cpuinfo = machine.root / "proc/cpuinfo"
    affinity = _affinity()
    device = Device(
        cpu=cpu_model(cpuinfo),
        isa=tuple(cpu_flags(cpuinfo)),
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
        versions=_versions(),
        drivers={**machine.module_versions(), **_nvidia()},
        warnings=(),
    )
    return replace(device, warnings=warnings_of(device))


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


def _virtual_machine(machine: Machine) -> Detection | None:
    """Named by the program that asks the processor itself, where files only say that there is a hypervisor."""
    detected = machine.virtual_machine()
    if detected is None or detected.name != UNKNOWN:
        return detected
    name = ask("systemd-detect-virt", "--vm")
    return Detection(name, "systemd-detect-virt") if name else detected


def _throttled(machine: Machine) -> tuple[str, ...] | None:
    """What a Raspberry Pi's firmware says, by its kernel or by its own program."""
    flags = machine.throttled()
    text = ask("vcgencmd", "get_throttled") if flags is None else None
    return firmware_flags(text) if text else flags


def _nvidia() -> dict[str, str]:
    """Each NVIDIA device with its memory, and the driver's version."""
    lines = ask("nvidia-smi", "--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader") or ""
    rows = [[cell.strip() for cell in line.split(",")] for line in lines.splitlines()]
    return {f"GPU {row[0]}": f"{row[1]}, {row[2]}, driver {row[3]}" for row in rows if len(row) == 4}


def _versions() -> dict[str, str]:
    """Of the libraries that decide a figure, those that each backend names included."""
    of_backends = [one for name in backends.names() for one in backends.load(name).distributions]
    versions = {name: version(name) for name in (*LIBRARIES, *of_backends)}
    return {name: number for name, number in versions.items() if number != NOT_INSTALLED}
