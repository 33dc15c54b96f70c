"""What there is to run TensorRT on, asked in the order in which it is safe: CUDA first, TensorRT only where it is.

`absence` is cheap and imports nothing; `look` imports TensorRT and describes the device that engines are built for.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...system import extras
from . import cuda
from .cuda import CudaError

if TYPE_CHECKING:
    from .cuda import Cuda

LIBRARY = "tensorrt"
TEGRA = Path("/etc/nv_tegra_release")
MODEL = Path("/proc/device-tree/model")
MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class EngineDevice:
    """A device that can build engines, and the software on it. Engines of one are of no use to another.

    sm : compute capability, "8.7"; l4t : "36.4.3" on a Jetson; board : the Jetson's name; machine : a hash of its id
    """

    number: int
    name: str
    sm: str
    integrated: bool
    driver: str
    runtime: str
    tensorrt: str
    l4t: str | None
    board: str | None
    machine: str


def absence() -> str | None:
    """Why TensorRT cannot run here, with the next step; None when it can. Imports nothing."""
    missing = [reason for reason in (_library_absence(), _cuda_absence()) if reason]
    return "; ".join(missing) or None


def look(device: str | None = None) -> tuple[EngineDevice, Cuda, Any]:
    """The device, libcudart and the module tensorrt. InputError says what is missing, or which devices there are.

    device : "GPU", "CUDA", "CUDA:1" or "1"; None is the first
    """
    found = cuda.load()
    if (reason := absence()) or found is None:
        msg = f"TensorRT cannot run here: {reason}."
        raise InputError(msg)
    number = _number(device, found.device_count())
    trt = extras.load(LIBRARY, extra=LIBRARY)
    driver, runtime = found.versions()
    found.use(number)
    described = EngineDevice(
        number=number,
        name=found.name(number),
        sm=found.capability(number),
        integrated=found.is_integrated(number),
        driver=driver,
        runtime=runtime,
        tensorrt=trt.__version__,
        l4t=l4t(),
        board=board(),
        machine=machine(),
    )
    return described, found, trt


def state() -> dict[str, str]:
    """For `doctor`: what is known without importing TensorRT."""
    found = cuda.load()
    said = {"library": "not found" if found is None else found.path, "devices": "none", "driver": "none"}
    if found is not None:
        try:
            count = found.device_count()
            said["devices"] = ", ".join(f"{found.name(i)} (SM {found.capability(i)})" for i in range(count)) or "none"
            said["driver"] = found.versions()[0]
        except CudaError as error:
            said["devices"] = f"none: {error}"
    version = extras.version(LIBRARY) if extras.available(LIBRARY) else "not installed"
    return {"tensorrt": version, "l4t": l4t() or "no Jetson", "board": board() or "not known", **said}


def available_mb(found: Cuda, *, integrated: bool) -> int:
    """Megabytes that a build can have: of the one memory on a Jetson, else the lesser of the host's and the device's.

    On a Jetson the device's own count leaves out what Linux would free, so MemAvailable is asked.
    """
    host = _available_on_host()
    if integrated and host is not None:
        return host
    device = found.memory()[0] >> 20
    return device if host is None else min(device, host)


def l4t(source: Path = TEGRA) -> str | None:
    """Version of Jetson Linux, "36.4.3"; None elsewhere."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _text(source))
    return f"{match[1]}.{match[2]}" if match else None


def board(source: Path = MODEL) -> str | None:
    """What the board calls itself, "NVIDIA Jetson Orin Nano Developer Kit"; None where nothing says so."""
    return _text(source).strip("\0 \n") or None


def machine() -> str:
    """A hash that stands for this machine in the cache: engines of one that shares the home folder are not loaded."""
    known = next((text for path in MACHINE_IDS if (text := _text(path).strip())), platform.node())
    return hashlib.sha256(f"edgescope:{known}".encode()).hexdigest()[:16]


def _library_absence() -> str | None:
    if extras.available(LIBRARY):
        return None
    return (
        "TensorRT's Python module is not installed; on a Jetson it comes with JetPack: sudo apt install "
        "python3-libnvinfer, and make the environment with --system-site-packages; elsewhere run: "
        f"{extras.install(LIBRARY)}"
    )


def _cuda_absence() -> str | None:
    found = cuda.load()
    if found is None:
        named = os.environ.get(cuda.LIBRARY)
        where = f"{cuda.LIBRARY}={named} cannot be loaded" if named else "libcudart, CUDA's runtime, is not installed"
        return f"{where}; it comes with JetPack or the CUDA toolkit (or set {cuda.LIBRARY} to its file)"
    try:
        count = found.device_count()
    except CudaError as error:
        driver = "nvidia-smi" if sys.platform == "win32" or platform.machine() != "aarch64" else "JetPack"
        return f"CUDA has no device here: {error}; install or update the NVIDIA driver, and see what {driver} says"
    return None if count else "CUDA finds no device; is the GPU plugged in, and visible to this process?"


def _number(device: str | None, count: int) -> int:
    match = re.fullmatch(r"(?:GPU|CUDA|)(?:[:.]?(\d{1,3}))?", (device or "GPU").upper())
    if not match or int(match[1] or 0) >= count:
        known = ", ".join(f"CUDA:{i}" for i in range(count))
        msg = f"The tensorrt backend has no device {device}; it has {known}."
        raise InputError(msg)
    return int(match[1] or 0)


def _available_on_host() -> int | None:
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", _text(MEMINFO), re.MULTILINE)
    return int(match[1]) >> 10 if match else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
