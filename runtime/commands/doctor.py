"""doctor: what can run here, on which devices, and the line that installs what is missing.

Imports none of it but OpenVINO, which alone knows its devices.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import __version__, backend, extras
from ..tensorrt import NEVER_RUN
from .output import write_json

if TYPE_CHECKING:
    import argparse

    from ..backends.openvino import OpenVINO

NAME = "doctor"
X86_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
ARM_FLAGS = ("asimd", "asimddp", "asimdhp", "i8mm")  # int8 dot product, fp16, int8 matrix product
LIBRARIES = {
    "io": (("tifffile", "tifffile"), ("PIL", "pillow")),
    "objects": (("skimage", "scikit-image"),),
    "dask": (("dask", "dask"), ("distributed", "distributed"), ("zarr", "zarr")),
    "pymmcore": (("pymmcore_plus", "pymmcore-plus"),),
    "napari": (("napari", "napari"), ("qtpy", "qtpy")),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the machine and a table; exit code 0 whatever is missing."""
    machine = {
        "edgescope": __version__,
        "python": platform.python_version(),
        "numpy": extras.version("numpy"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": str(os.cpu_count()),
        "cpu_flags": " ".join(cpu_flags()) or "not known here",
    }
    rows = [_backend_row(name) for name in backend.names()]
    rows += [_extra_row(extra) for extra in LIBRARIES]
    for name, value in machine.items():
        print(f"{name:<12} {value}")
    for row in rows:
        state = f"ready    {row['found']}" if row["ready"] else f"missing  run: {row['install']}"
        print(f"{row['name']:<12} {state}")
    devices = _openvino_devices()
    for name, full_name in devices.items():
        print(f"{'device':<12} {name:<8} {full_name}")
    gpu = _gpu()
    print("tensorrt, cuda and jetson")
    for name, value in gpu.items():
        print(f"  {name:<10} {value}")
    write_json(args.json, {**machine, "parts": rows, "openvino_devices": devices, "gpu": gpu})
    return 0


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
    return fields.get("model name") or fields.get("Model") or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may run on: a container or `taskset` may grant fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _openvino_devices() -> dict[str, str]:
    """Device to its full name; empty where OpenVINO is not installed or does not load."""
    openvino = backend.load("openvino")
    if openvino.library() is None:
        return {}
    try:
        return cast("OpenVINO", openvino).devices()
    except (ImportError, RuntimeError) as error:
        return {"OpenVINO": f"does not load: {error}"}


def _gpu() -> dict[str, str]:
    from ..tensorrt import probe  # needs numpy, which --help does not

    return {**probe.state(), "missing": probe.absence() or "nothing", "note": NEVER_RUN}


def _backend_row(name: str) -> dict[str, Any]:
    candidate = backend.load(name)
    library = candidate.library()
    found = "" if library is None else f"{library} {extras.version(library)}"
    return {"name": name, "ready": bool(library), "found": found, "install": extras.install(candidate.extra)}


def _extra_row(extra: str) -> dict[str, Any]:
    ready = all(extras.available(module) for module, _ in LIBRARIES[extra])
    found = ", ".join(f"{name} {extras.version(name)}" for _, name in LIBRARIES[extra]) if ready else ""
    return {"name": f"[{extra}]", "ready": ready, "found": found, "install": extras.install(extra)}
