"""One set of maps, the same bits on every platform: here, on arm64 under qemu, in the Windows DLL under wine.

The maps are made from whole numbers alone, so they are the same everywhere. CHECKSUMS are what every platform gives;
they change only with the kernel's definition. The emulated platforms run where ziglang and the emulator are installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime import kernel
from runtime.kernel import build

HERE = Path(__file__).parent
TILE, OVERLAP = 32, 8
RULES = {
    "summits": (0.3, 0.5, 0.1, 1.6, 12),
    "summits without smoothing": (0.3, 0.5, 0.02, 0.0, 0),
    "threshold": (0.3, 0.6, 0.0, 0.0, 12),
    "distance": (0.3, 0.5, 0.0, 0.0, 4),
}
CHECKSUMS = {
    "summits": "2cffaa7b859b8468f5f4124a36d88df3dcc3aee801e144fcd46947f52035daed",
    "summits without smoothing": "cec144b954073874f8f8191f587506c50d671ca8826e63036310e411a4e09b5e",
    "threshold": "defc4d919506dcacc89966919dcba50c7e4d1c5e4ee9f03b144588e28986164d",
    "distance": "aea3377d48fceede2a340cce1a4fdef96564216a9a9faf4d0c47c7d9ac1ba40d",
}
WINE = next((path for name in ("wine64", "wine", "/usr/lib/wine/wine64") if (path := shutil.which(name))), None)
QEMU = next((path for name in ("qemu-aarch64-static", "qemu-aarch64") if (path := shutil.which(name))), None)
needs_zig = pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="needs the package ziglang")


def maps(name: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Probability and core, float32 in steps of 1/256, and a frame, uint16, of 150 overlapping cones with noise."""
    height, width = 190, 230
    state = 12345 + len(name)

    def draw(below: int) -> int:
        nonlocal state
        state = (state * 1103515245 + 12345) % 2**31
        return (state >> 8) % below

    rows, cols = np.mgrid[:height, :width]
    field = np.zeros((height, width), np.int64)
    for _ in range(150):
        row, col, radius = draw(height), draw(width), 4 + draw(9)
        field = np.maximum(field, 256 * radius**2 - 256 * ((rows - row) ** 2 + (cols - col) ** 2)).clip(0)
    noise = np.array([draw(40) for _ in range(height * width)]).reshape(height, width)
    probability = (np.minimum(field // 24, 256) / np.float32(256)).astype(np.float32)
    core = ((field // 144 + noise).clip(0, 256) / np.float32(256)).astype(np.float32)
    core[5, 7], probability[9, 11], core[20:30, 40:60] = np.nan, np.nan, np.inf
    frame = (field * 7 + noise).clip(0, 65535).astype(np.uint16)
    return probability, None if name == "distance" else core, frame


def through_the_binding(name: str) -> bytes:
    """What the library of this computer gives, in the order of replay.c."""
    probability, core, frame = maps(name)
    labels, count = kernel.label(probability, core, kernel.Rule(*RULES[name]))
    assert count > 20
    limits, flags = kernel.intensities(frame, 1.0, 99.8)
    scaled = np.empty(frame.shape, np.float32)
    kernel.scale(frame, limits, scaled)
    padded = frame * np.float32(0.37)
    padded[:9] = 7777
    limits_of_padded, flags_of_padded = kernel.intensities(padded, 1.0, 99.8)
    assert flags_of_padded & 1
    parts = (
        np.int32(count),
        labels,
        kernel.measure(labels, count, frame, probability),
        kernel.measure(labels, count, probability, None),
        kernel.tiles(frame.shape[1], TILE, OVERLAP)[1],
        np.array(limits),
        scaled,
        np.array(limits_of_padded),
        np.int32(flags + 256 * flags_of_padded),
    )
    return b"".join(part.tobytes() for part in parts)


def request(name: str) -> bytes:
    """What replay.c reads."""
    probability, core, frame = maps(name)
    header = struct.pack("<4i4dq", *frame.shape, core is not None, 0, *RULES[name])
    return b"".join([header, probability.tobytes(), b"" if core is None else core.tobytes(), frame.tobytes()])


def replay(program: list[str], folder: Path) -> bytes:
    """What the library of another platform gives for all maps."""
    (folder / "in").write_bytes(b"".join(map(request, RULES)))
    subprocess.run([*program, "in", "out"], cwd=folder, check=True, capture_output=True, timeout=600)
    return (folder / "out").read_bytes()


def compile_with_zig(target: str, out: Path, *more: object) -> None:
    flags = [flag for flag in build.FLAGS if flag not in ("-shared", "-fvisibility=hidden")]
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *flags, f"-I{build.FOLDER}"]
    subprocess.run([*command, HERE / "replay.c", *more, "-o", out], check=True, capture_output=True)


@pytest.mark.parametrize("name", RULES)
def test_this_computer_gives_the_bits_of_all_platforms(name: str):
    assert hashlib.sha256(through_the_binding(name)).hexdigest() == CHECKSUMS[name]


@pytest.mark.slow
@needs_zig
@pytest.mark.skipif(QEMU is None, reason="needs qemu-user-static")
def test_arm64_gives_the_same_bits(tmp_path: Path):
    sources = [build.FOLDER / name for name in build.SOURCES]
    compile_with_zig("aarch64-linux-musl", tmp_path / "replay", *sources, "-static", "-lm")
    assert replay([str(QEMU), "./replay"], tmp_path) == b"".join(map(through_the_binding, RULES))


@pytest.mark.slow
@needs_zig
@pytest.mark.skipif(WINE is None, reason="needs wine")
def test_the_windows_dll_gives_the_same_bits(tmp_path: Path):
    build.build(tmp_path / "edgescope.dll", "windows-x86_64")
    compile_with_zig(build.PLATFORMS["windows-x86_64"].zig, tmp_path / "replay.exe")
    assert replay([str(WINE), "replay.exe"], tmp_path) == b"".join(map(through_the_binding, RULES))
