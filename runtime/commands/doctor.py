"""doctor: what can run here, on which devices, and the line that installs what is missing.

Imports none of it but OpenVINO, which alone knows its devices.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any, cast

from .. import __version__, backend, extras
from ..processor import cpu_flags
from ..tensorrt import NEVER_RUN
from .output import write_json

if TYPE_CHECKING:
    import argparse

    from ..backends.openvino import OpenVINO

NAME = "doctor"
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
