"""Build the kernel's library: python -m runtime.kernel.build [--platform NAME] [--out FILE]

For this computer it takes its C compiler, or else the package `ziglang`, which also builds for the other platforms.
Needs the standard library alone, as the build of the wheels runs this file before anything is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SOURCES = ("flood.c", "measure.c", "intensities.c", "frames.c", "resize.c")
HEADERS = ("edgescope.h", "prefetch.h", "threads.h")
# Without contraction a * b + c is rounded twice, on every processor. Nobody reads errno or the flags of floating point.
FLAGS = (
    "-std=c99",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-DEDGESCOPE_BUILD",
    "-shared",
    "-s",
)
ASKED = "EDGESCOPE_PLATFORM"  # environment variable: the platform that a wheel is built for


@dataclass(frozen=True)
class Platform:
    """Where a library runs: zig's name of it, the tag of its wheels, and the library's file name."""

    zig: str
    tag: str
    library: str


PLATFORMS = {
    "linux-x86_64": Platform("x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64", "edgescope.so"),
    "linux-aarch64": Platform("aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64", "edgescope.so"),
    "windows-x86_64": Platform("x86_64-windows-gnu", "win_amd64", "edgescope.dll"),
    "macos-arm64": Platform("aarch64-macos.11.0", "macosx_11_0_arm64", "edgescope.dylib"),
    "macos-x86_64": Platform("x86_64-macos.11.0", "macosx_11_0_x86_64", "edgescope.dylib"),
}


def here() -> str:
    """The name of this computer's platform; it may be none of PLATFORMS."""
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    return f"{system}-{machine.replace('aarch64', 'arm64') if system == 'macos' else machine}"


def library_name() -> str:
    """The library's file name on this computer."""
    return {"win32": "edgescope.dll", "darwin": "edgescope.dylib"}.get(sys.platform, "edgescope.so")


def build(out: Path, name: str | None = None) -> str:
    """Write the library for a platform to `out`, and return the tag of a wheel that holds it.

    name : of PLATFORMS, built with zig; None is this computer
    RuntimeError when there is no compiler, or it fails; ValueError for a name that is not known.
    """
    if name is not None and name not in PLATFORMS:
        msg = f"Platform {name!r} is not known; choose one of {', '.join(PLATFORMS)}."
        raise ValueError(msg)
    target = None if name is None else PLATFORMS[name]
    compiler = None if target else system_compiler()
    if compiler is None:
        target = target or PLATFORMS.get(here())
        command, tag = _with_zig(target), target.tag if target else _native_tag()
    else:
        command, tag = [compiler], _native_tag()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".kernel.partial-") as folder:
        made = Path(
            folder, out.name
        )  # renamed into place: a process that starts meanwhile finds the old one or the new one
        _run([*command, *_arguments(command[0], made)], Path(folder))
        made.replace(out)
    return tag


def for_hatch(root: str, version: str, build_data: dict[str, Any]) -> None:
    """For the hooks of both distributions: build the library, and tell hatchling its place and the wheel's tag.

    root : of the distribution; the library is built in its folder `build`
    version : of the wheel, "standard" or "editable", for which the library is built in the source folder
    The environment variable EDGESCOPE_PLATFORM names another platform than this computer's.
    """
    if version == "editable":
        build(FOLDER / library_name())
        return
    name = os.environ.get(ASKED) or None
    library = PLATFORMS[name].library if name in PLATFORMS else library_name()
    out = Path(root, "build", "kernel", name or "here", library)
    tag = build(out, name)
    build_data["pure_python"] = False
    build_data["tag"] = f"py3-none-{tag}"
    build_data["force_include"][str(out)] = f"runtime/kernel/{library}"


def is_stale() -> bool:
    """Whether this computer's library in the source folder is missing, or older than what it is made from."""
    library = FOLDER / library_name()
    made_from = [FOLDER / name for name in (*SOURCES, *HEADERS, Path(__file__).name)]
    return not library.is_file() or library.stat().st_mtime < max(path.stat().st_mtime for path in made_from)


def system_compiler() -> str | None:
    """The path of a C compiler: that of the environment variable CC, or the first one that is installed."""
    named = os.environ.get("CC")
    names = (named,) if named else ("cc", "gcc", "clang", "cl")
    return next((path for name in names if (path := shutil.which(name))), None)


def requirements() -> list[str]:
    """The packages that the build of a wheel needs: ziglang, unless this computer's compiler does."""
    return ["ziglang>=0.15"] if os.environ.get(ASKED) or system_compiler() is None else []


def _with_zig(target: Platform | None) -> list[str]:
    if importlib.util.find_spec("ziglang") is None:
        msg = (
            "There is no C compiler (cc, gcc, clang or cl) to build edgescope's library with; install one, "
            "or the package ziglang: pip install ziglang"
        )
        raise RuntimeError(msg)
    return [sys.executable, "-m", "ziglang", "cc", *(("-target", target.zig) if target else ())]


def _arguments(compiler: str, out: Path) -> list[str]:
    sources = [str(FOLDER / name) for name in SOURCES]
    if Path(compiler).stem.lower() == "cl":
        return ["/nologo", "/std:c11", "/O2", "/fp:precise", "/DEDGESCOPE_BUILD", "/LD", *sources, f"/Fe:{out}"]
    more = () if out.suffix == ".dll" else ("-fPIC", "-pthread")
    return [*FLAGS, *more, *sources, "-o", str(out), "-lm"]


def _native_tag() -> str:
    if here() in PLATFORMS and sys.platform == "darwin":
        return PLATFORMS[here()].tag
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"The C compiler failed on edgescope's library: {' '.join(command)}\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)


def main() -> int:
    """Build it, and print where it is."""
    parser = argparse.ArgumentParser(description="Build edgescope's C library.")
    parser.add_argument("--platform", choices=PLATFORMS, help="build for this platform with the package ziglang")
    parser.add_argument("--out", type=Path, help="default: where this checkout or installation loads it from")
    given = parser.parse_args()
    name = PLATFORMS[given.platform].library if given.platform else library_name()
    out = given.out or FOLDER / name
    try:
        build(out.resolve(), given.platform)
    except (RuntimeError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
