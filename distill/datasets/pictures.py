"""Bytes of a PNG or TIFF -> arrays, for the readers. Pillow and tifffile are imported when a file needs them.

What a picture of pixels means is the reader's business; labels are read alike by all (see annotations/).
"""

import io
import struct
import warnings
import zlib
from pathlib import PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from runtime.errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

PNG = (".png",)
TIFF = (".tif", ".tiff")
# tifffile's own error is a ValueError; broken files also surface as the others, from its parser and codecs
TIFF_ERRORS = (OSError, ValueError, LookupError, RuntimeError, TypeError, struct.error, EOFError, zlib.error)


def decode(data: bytes, name: str) -> "NDArray":
    """Pixels as they are stored: (H, W) or, for colour PNGs and multi-page TIFFs, with one more axis.

    name : for its suffix and for the error, which says which file is broken"""
    return decode_with_axes(data, name)[0]


def decode_with_axes(data: bytes, name: str) -> tuple["NDArray", str]:
    """The pixels of `decode`, and a letter for each axis: Y, X, C channel, S colour, T, Z, Q of unknown meaning."""
    if PurePosixPath(name).suffix.lower() in TIFF:
        return _decode_tiff(data, name)
    pixels = np.asarray(open_png(data, name))
    return pixels, "YXS"[: pixels.ndim]


def open_png(data: bytes, name: str) -> "Image":
    """A decoded Pillow image; InputError naming the file where the bytes are no whole picture."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        msg = f"Reading {name!r} needs Pillow; pip install 'edgescope[io]'."
        raise EdgescopeError(msg) from error
    broken = (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data))
            picture.load()
    except (*broken, OSError, SyntaxError, ValueError) as error:
        raise _unreadable(data, name, error) from error
    return picture


def check_finite(picture: "NDArray", name: str) -> None:
    """InputError naming the file where a picture of floats holds a value that is none."""
    if picture.dtype.kind == "f" and (bad := int(np.count_nonzero(~np.isfinite(picture)))):
        first = tuple(map(int, np.argwhere(~np.isfinite(picture))[0]))
        msg = f"{name!r} holds {bad} value(s) that are not finite, the first at {first}; replace them, e.g. by 0."
        raise InputError(msg)


def grey_of(picture: "NDArray", name: str) -> "NDArray":
    """The one plane of a grey picture that is stored as colours, whatever its alpha says."""
    colours = picture[..., : 3 if picture.shape[-1] > 2 else 1]
    if (colours != colours[..., :1]).any():
        msg = f"{name!r} is a colour picture; save the nuclear plane, or the instance ids, as grey values."
        raise InputError(msg)
    return colours[..., 0]


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """(height, width) from the header alone: nothing is decoded."""
    if PurePosixPath(name).suffix.lower() not in TIFF:
        if len(data) < 24 or data[12:16] != b"IHDR":
            raise _unreadable(data, name, ValueError("no PNG header"))
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    tifffile = _tifffile(name)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return file.pages[0].shape[:2]
    except TIFF_ERRORS as error:
        raise _unreadable(data, name, error) from error


def _decode_tiff(data: bytes, name: str) -> tuple["NDArray", str]:
    tifffile = _tifffile(name)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return file.asarray(), file.series[0].axes
    except TIFF_ERRORS as error:
        raise _unreadable(data, name, error) from error


def _tifffile(name: str) -> ModuleType:
    try:
        import tifffile
    except ImportError as error:
        msg = f"Reading {name!r} needs tifffile; pip install 'edgescope[io]'."
        raise EdgescopeError(msg) from error
    return tifffile


def _unreadable(data: bytes, name: str, error: Exception) -> InputError:
    found = f"is not a whole image ({type(error).__name__}, {len(data)} bytes)"
    what = found if data else "is empty (0 bytes)"
    return InputError(f"{name!r} {what}; replace the file, or take it out of the data.")
