"""What `make test-arm` runs on: Debian's arm64 Python for qemu-user, and LiteRT and our thin wheel for both machines.

    python tests/arm/prepare.py build/arm

Nothing is installed on this machine. Debian's packages come from the sources that apt already has, by an apt that
keeps its state in the folder; Python's from wherever pip gets packages. What is there already is kept.

    build/arm/root            Debian's arm64 Python, unpacked and not configured: qemu needs no more
    build/arm/aarch64         LiteRT and numpy for it
    build/arm/x86_64          the same versions for this machine, to compare like with like
    build/arm/runtime-*       the wheel edgescope-runtime with its C library for each, made anew every time
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QEMU = "qemu-aarch64-static"
LITERT = "1.4.0"  # its kernels give the same bits under qemu as on x86; those of 2.3.0 crash under qemu
NUMPY = "2.4.6"
PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
GLIBC = ("2_17", "2_27", "2_28", "2_31", "2_34")  # the wheels' tags that Debian 12 satisfies
TOOLS = {QEMU: "qemu-user-static", "apt-get": "apt", "dpkg-deb": "dpkg"}  # and the package that brings each
MACHINES = ("x86_64", "aarch64")
ROOT = Path(__file__).parents[2]
APT = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Sandbox::User "";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"""


class Missing(Exception):
    """Something that cannot be had here, with what to do."""


def refuses(folder: Path) -> str | None:
    """Why tests cannot run on what is in ``folder``, or None."""
    if missing := _missing_tool(QEMU):
        return missing
    parts = ("root", "aarch64", "x86_64")
    return (
        None if all((folder / part).is_dir() for part in parts) else f"no arm64 Python in {folder}; run: make test-arm"
    )


def prepare(folder: Path) -> None:
    """Fill ``folder``. Missing when a tool, a package source or a package index is not there."""
    if missing := _missing_tool(QEMU) or _missing_tool("apt-get") or _missing_tool("dpkg-deb"):
        raise Missing(missing)
    folder.mkdir(parents=True, exist_ok=True)
    once(folder / "root", _unpack_debian)
    once(folder / "aarch64", lambda place: _install(place, _foreign(folder)))
    once(folder / "x86_64", lambda place: _install(place, ()))
    for machine in MACHINES:
        place = folder / f"runtime-{machine}"
        shutil.rmtree(place, ignore_errors=True)
        once(place, partial(_install_runtime, machine))


def python_of(folder: Path) -> Path:
    """The arm64 interpreter."""
    return next((folder / "root" / "usr" / "bin").glob("python3.[0-9]*"))


def command(folder: Path, machine: str) -> tuple[list[str], dict[str, str]]:
    """How to start Python as one of the machines "aarch64" and "x86_64", and with what environment."""
    start = {
        "aarch64": [QEMU, "-L", str(folder / "root"), str(python_of(folder))],
        "x86_64": [sys.executable],
    }[machine]
    path = os.pathsep.join(str(folder / part) for part in (f"runtime-{machine}", machine))
    return [*start, "-S", "-s"], {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}


def once(place: Path, make: Callable[[Path], None]) -> None:
    """Make a folder unless it is there: beside its place, and renamed into it when it is whole."""
    if place.is_dir():
        return
    partial = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        make(partial)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _missing_tool(name: str) -> str | None:
    if shutil.which(name):
        return None
    return f"{name} is not installed; on Debian: apt-get install {TOOLS[name]}"


def _unpack_debian(place: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for part in ("state/lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        (folder / "status").touch()  # nothing is installed, so that all dependencies come along
        (folder / "apt.conf").write_text(APT.format(folder=folder))
        environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
        _do("apt-get", "-qq", "update", env=environment)
        _do(*"apt-get -qq -y --no-install-recommends --download-only install".split(), *PACKAGES, env=environment)
        for package in sorted((folder / "cache" / "archives").glob("*.deb")):
            _do("dpkg-deb", "-x", package, place)


def _foreign(folder: Path) -> tuple[str, ...]:
    """pip's options for the wheels that the arm64 Python takes."""
    version = python_of(folder).name.removeprefix("python")
    tags = ("--platform", "manylinux2014_aarch64", *(f"--platform=manylinux_{glibc}_aarch64" for glibc in GLIBC))
    return (*tags, "--implementation", "cp", "--python-version", version)


def _install(place: Path, options: tuple[str, ...]) -> None:
    wanted = (f"ai-edge-litert=={LITERT}", f"numpy=={NUMPY}", "flatbuffers")
    _pip(place, "--only-binary=:all:", "--no-deps", *options, *wanted)


def _install_runtime(machine: str, place: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "EDGESCOPE_PLATFORM": f"linux-{machine}"}
        build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", scratch, ROOT / "runtime")
        _do(*build, env=environment)
        (wheel,) = Path(scratch).glob("edgescope_runtime-*.whl")
        tag = wheel.stem.rpartition("-")[2]
        _pip(place, "--no-deps", "--no-index", "--only-binary=:all:", "--platform", tag, wheel)


def _pip(place: Path, *arguments: object) -> None:
    _do(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", place, *arguments)


def _do(*words: object, env: dict[str, str] | None = None) -> None:
    ended = subprocess.run([str(word) for word in words], env=env, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()[-3:]
        msg = f"{' '.join(map(str, words[:4]))} ... failed (exit {ended.returncode}): {' '.join(said)}"
        raise Missing(msg)


if __name__ == "__main__":
    try:
        prepare(Path(sys.argv[1]).resolve())
    except Missing as error:
        sys.exit(f"error: {error}")
