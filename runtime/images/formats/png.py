"""PNG by Pillow (extra `io`). A palette is a picture of colours: what it shows is read, not its numbers."""

# The libraries that are called here have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...system import extras, memory
from ..scene import ImageFile, Scene

if TYPE_CHECKING:
    from typing import IO

MAGIC = b"\x89PNG\r\n\x1a\n"
DEFLATE = 1040  # bytes that deflate makes of one byte at most, and a margin
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour


def open_scenes(file: Path | IO[bytes], name: str) -> ImageFile:
    """The one scene of a PNG: YX, or YXS where it has colours. It is decoded here, as a PNG has no parts."""
    _check_header(file, name)
    image = extras.load("PIL.Image", extra="io")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", image.DecompressionBombWarning)  # fields of a slide are large
            with image.open(file) as opened:
                data, axes = _pixels(opened)
    except image.DecompressionBombError as error:
        msg = f"{name} has too many pixels for a PNG ({error}); save it as TIFF."
        raise InputError(msg) from error
    if axes == "YX":
        return ImageFile((Scene("", axes, data.shape, data.dtype, lambda _: data),))
    colours = ("red", "green", "blue")
    return ImageFile((Scene("", axes, data.shape, data.dtype, lambda index: data[..., index[0]], colours),))


def _check_header(file: Path | IO[bytes], name: str) -> None:
    """What the header claims, before anything of that size is asked for."""
    if isinstance(file, Path):
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(26)
    else:
        size = file.seek(0, 2)
        file.seek(0)
        start = file.read(26)
        file.seek(0)
    if len(start) < 26:
        msg = "its header ends early"
        raise ValueError(msg)
    width, height = int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
    bits, colour = start[24], start[25]
    if bits == 16 and colour != 0:
        msg = f"{name} is a 16-bit PNG with colour or transparency, which would lose bits; save it as TIFF."
        raise InputError(msg)
    claimed = height * width * bits * SAMPLES.get(colour, 4) // 8
    if claimed > DEFLATE * size:
        msg = f"it claims {width} x {height} pixels, more than its {size} bytes can hold"
        raise ValueError(msg)
    memory.claim(2 * height * width * (2 if bits == 16 else 4 if colour else 1), name)


def _pixels(opened: Any) -> tuple[np.ndarray[Any, Any], str]:
    if opened.mode.startswith("I"):  # 16 bits, which older versions of Pillow widen to 32
        return np.asarray(opened).astype(np.uint16), "YX"
    if opened.mode in ("1", "L", "LA"):
        return np.asarray(opened.convert("L")), "YX"
    return np.asarray(opened.convert("RGB")), "YXS"
