"""doctor: list the backends and devices of this machine, and how to install what is missing.

A library is imported only where it alone knows its devices.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from .. import __version__, backend
from ..artifact import installed
from ..system import extras
from ..system.processor import cpu_flags
from .output import write_json

if TYPE_CHECKING:
    import argparse

    from ..backend import Backend

NAME = "doctor"
EXAMPLE = "doctor"
LIBRARIES = {
    "io": (("tifffile", "tifffile"), ("PIL", "pillow")),
    "readers": (("czifile", "czifile"), ("nd2", "nd2"), ("liffile", "liffile"), ("zarr", "zarr")),
    "parquet": (("pyarrow", "pyarrow"),),
    "dask": (("dask", "dask"), ("distributed", "distributed"), ("zarr", "zarr")),
    "pymmcore": (("pymmcore_plus", "pymmcore-plus"),),
    "mqtt": (("paho.mqtt.client", "paho-mqtt"),),
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
        "cpu_flags": " ".join(cpu_flags()) or "unknown",
    }
    rows = [_backend_row(name) for name in backend.names()]
    rows += [_extra_row(extra) for extra in LIBRARIES]
    for name, value in machine.items():
        print(f"{name:<12} {value}")
    for row in rows:
        state = f"ready    {row['found']}" if row["ready"] else f"missing  run: {row['install']}"
        print(f"{row['name']:<12} {state}")
    names = installed.listed()
    print(f"{'artefacts':<12} {'ready    ' + ', '.join(names) if names else 'none     ' + installed.remedy()}")
    for row in rows:
        for key, value in row.get("devices", {}).items():
            print(f"{row['name']:<12} device {key:<8} {value}")
        for key, value in row.get("state", {}).items():
            print(f"{row['name']:<12} {key:<10} {value}")
        for note in row.get("notes", ()):
            print(f"{row['name']:<12} note       {note}")
    write_json(args.json, {**machine, "parts": rows, "artifacts": {name: str(path) for name, path in names.items()}})
    return 0


def _backend_row(name: str) -> dict[str, Any]:
    candidate = backend.load(name)
    library = candidate.library()
    found = "" if library is None else f"{library} {extras.version(library)}"
    return {
        "name": name,
        "ready": bool(library),
        "found": found,
        "install": extras.install(candidate.extra),
        "devices": _devices(candidate) if library else {},
        "state": dict(candidate.state()),
        "notes": list(candidate.notes()),
    }


def _devices(candidate: Backend) -> dict[str, str]:
    """Device to its full name; the reason where the library does not load."""
    try:
        return dict(candidate.devices())
    except (ImportError, RuntimeError) as error:
        return {"none": f"{candidate.name} does not load: {error}"}


def _extra_row(extra: str) -> dict[str, Any]:
    ready = all(extras.available(module) for module, _ in LIBRARIES[extra])
    found = ", ".join(f"{name} {extras.version(name)}" for _, name in LIBRARIES[extra]) if ready else ""
    return {"name": f"[{extra}]", "ready": ready, "found": found, "install": extras.install(extra)}
