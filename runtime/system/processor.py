"""The processor that this runs on: what it calls itself, what it is good at, and how much of it may be used."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

X86_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
ARM_FLAGS = ("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2")  # int8 dot product, fp16, int8 matrices, ...


def cpu_flags(source: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Those of the CPU's flags that matter for int8 and half precision; none where Linux does not tell them."""
    try:
        text = source.read_text("utf-8", "replace")
    except OSError:
        return []
    lines = (line.partition(":") for line in text.splitlines())
    present = {flag for key, _, value in lines if key.strip() in ("flags", "Features") for flag in value.split()}
    return [flag for flag in (*X86_FLAGS, *ARM_FLAGS) if flag in present]


def cpu_model(source: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor, or the board, calls itself."""
    try:
        text = source.read_text("utf-8", "replace")
    except OSError:
        text = ""
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    named = fields.get("model name") or fields.get("Model") or fields.get("Hardware") or _windows_name()
    return named or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may run on: a container or `taskset` may grant fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _windows_name() -> str | None:
    """The processor's name as a person knows it, which Windows keeps in its registry."""
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    except OSError:
        return None
