"""PNG and TIFF files as arrays with named axes. Pillow and tifffile are imported on call (extra `io`).

A file that is cut short is refused: a TIFF reader alone would hand over the pages that are left.
"""

from __future__ import annotations

import logging
import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ..errors import EdgescopeError, InputError
from ..system import extras

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from numpy.typing import NDArray

PNG = b"\x89PNG\r\n\x1a\n"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
MAPPED = 256 << 20  # bytes from which a stack is mapped from the disk and not read into memory

UNITS_UM = {
    **{"am": 1e-12, "fm": 1e-9, "pm": 1e-6, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6, "km": 1e9},
    **dict.fromkeys(("\u00b5m", "\u03bcm", "um", "micron", "microns", "micrometer", "\\u00B5m"), 1.0),
    **dict.fromkeys(("\u00c5", "\u212b"), 1e-4),  # the letter and the sign for Angstrom
    **dict.fromkeys(("in", "inch"), 25400.0),
    **{"nanometer": 1e-3, "millimeter": 1e3, "thou": 25.4, "pt": 25400 / 72, "ft": 304800.0, "yd": 914400.0},
}
PRINTING_UM = 20.0  # a pixel this wide comes from the 72 to 600 dpi that desktop programs write, not a microscope


@dataclass(frozen=True)
class ImageFile:
    """`data` with one letter of `axes` per axis (Y, X; C channel, S colour; T, Z, ... stacks) and its channels."""

    data: NDArray[Any]
    axes: str
    pixel_size_um: float | None = None
    channels: tuple[str, ...] = ()


def read_image(path: Path) -> ImageFile:
    """Read a PNG or a TIFF, known by its first bytes; InputError when it is neither, empty or damaged."""
    try:
        if path.is_fifo():
            msg = f"{path} is a pipe; give a file."
            raise InputError(msg)
        with path.open("rb") as file:
            start = file.read(32)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise InputError(msg) from error
    if not start:
        msg = f"{path} is empty (0 bytes); copy it again."
        raise InputError(msg)
    if start.startswith(PNG):
        return _parsed(path, lambda: _read_png(path, start))
    if start.startswith(TIFF):
        return _parsed(path, lambda: _read_tiff(path))
    msg = f"{path} is neither a PNG nor a TIFF (it starts with {start[:4]!r}); convert it to TIFF."
    raise InputError(msg)


def _parsed(path: Path, parse: Callable[[], ImageFile]) -> ImageFile:
    """Whatever a library throws at a foreign file is one error that names the file."""
    try:
        return parse()
    except EdgescopeError:
        raise
    except MemoryError as error:
        msg = f"{path} does not fit the memory ({error or 'none was left'}); cut it into smaller images."
        raise InputError(msg) from error
    except Exception as error:  # of many kinds, among them those of the codecs
        msg = f"{path} is damaged or cut short ({type(error).__name__}: {error}); copy it again."
        raise InputError(msg) from error


def _read_png(path: Path, start: bytes) -> ImageFile:
    if len(start) < 26:
        msg = "its header ends early"
        raise ValueError(msg)
    bits, colour_type = start[24], start[25]
    if bits == 16 and colour_type != 0:
        msg = f"{path} is a 16-bit PNG with colour or transparency, which would lose bits; save it as TIFF."
        raise InputError(msg)
    image = extras.load("PIL.Image", extra="io")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", image.DecompressionBombWarning)  # fields of a slide are large
            with image.open(path) as opened:
                return _png_pixels(opened)
    except image.DecompressionBombError as error:
        msg = f"{path} has too many pixels for a PNG ({error}); save it as TIFF."
        raise InputError(msg) from error


def _png_pixels(opened: Any) -> ImageFile:
    if opened.mode.startswith("I"):  # 16 bits, which older versions of Pillow widen to 32
        return ImageFile(np.asarray(opened).astype(np.uint16), "YX")
    if opened.mode in ("1", "L", "LA"):
        return ImageFile(np.asarray(opened.convert("L")), "YX")
    return ImageFile(np.asarray(opened.convert("RGB")), "YXS", channels=("red", "green", "blue"))


def _read_tiff(path: Path) -> ImageFile:
    tifffile = extras.load("tifffile", extra="io")
    with _strictly(), tifffile.TiffFile(path) as file:
        series = file.series[0]
        _check_complete(file, series)
        if len(file.series) > 1:
            logging.getLogger(__name__).warning("%s: only the first of %d images", path, len(file.series))
        data = series.asarray(out="memmap" if series.nbytes > MAPPED else None)
        return ImageFile(data, series.axes, _tiff_pixel_size(file), _tiff_channels(file, series))


@contextmanager
def _strictly() -> Generator[None]:
    """Make an exception of what tifffile logs as an error, e.g. a page that lies beyond the end of the file."""
    heard: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: heard.append(record.getMessage())
    logger = logging.getLogger("tifffile")
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
    if heard:
        raise ValueError(heard[0])


def _check_complete(file: Any, series: Any) -> None:
    for number, page in enumerate(series.pages):
        if page is None:
            msg = f"page {number} is missing"
            raise ValueError(msg)
        end = max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
        if page.parent is file and end > file.filehandle.size:
            msg = f"page {number} ends at byte {end}, the file at {file.filehandle.size}"
            raise ValueError(msg)


def _tiff_pixel_size(file: Any) -> float | None:
    if file.ome_metadata:
        pixels = _ome_pixels(file.ome_metadata)
        size, unit = pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "um")
        return _positive(float(size) * UNITS_UM[unit]) if size and unit in UNITS_UM else None
    tags = file.pages[0].tags
    if "XResolution" not in tags:
        return None
    pixels, units = tags["XResolution"].value
    imagej: dict[str, Any] = file.imagej_metadata or {}
    um = UNITS_UM.get(imagej.get("unit", ""))
    if um is not None:
        return _positive(um * units / pixels) if pixels else None
    um = {2: 25400.0, 3: 10000.0}.get(int(file.pages[0].resolutionunit))
    size = _positive(um * units / pixels) if um and pixels else None
    return size if size is not None and size < PRINTING_UM else None


def _tiff_channels(file: Any, series: Any) -> tuple[str, ...]:
    if "S" in series.axes:
        return ("red", "green", "blue", "alpha")[: series.shape[series.axes.index("S")]]
    if not file.ome_metadata:
        return ()
    channels = (child for child in _ome_pixels(file.ome_metadata) if child.tag.endswith("}Channel"))
    return tuple(channel.get("Name", "") for channel in channels)


def _ome_pixels(xml: str) -> ElementTree.Element:
    """The Pixels of the first image; an empty element where there are none."""
    elements = ElementTree.fromstring(xml).iter()
    return next((e for e in elements if e.tag.endswith("}Pixels")), ElementTree.Element("Pixels"))


def _positive(size: float) -> float | None:
    return size if math.isfinite(size) and size > 0 else None
