"""The C library that does the work on pixels, and its functions for numpy arrays. See edgescope.h for what each does.

The library is a file beside this module. ctypes loads it when it is first used, so it fits every version of Python.
Calls release Python's lock.
"""

from __future__ import annotations

import ctypes
import math
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

VERSION = 3  # EDGESCOPE_VERSION
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = Path(__file__).with_name(f"edgescope{SUFFIX}")
NO_MEMORY, TOO_LARGE, NOT_FINITE = -1, -2, -4
MAX_INT32 = 2**31 - 1
TYPES = {np.dtype(np.uint8): 1, np.dtype(np.uint16): 2, np.dtype(np.float32): 3}

Values: TypeAlias = "NDArray[Any]"

# One object: edgescope_object.
OBJECT = np.dtype(
    [
        *((name, np.int32) for name in ("label", "touches_border", "top", "left", "bottom", "right")),
        *((name, np.int64) for name in ("area", "convex_area")),
        *((name, np.float64) for name in ("row", "col", "perimeter", "major_axis", "minor_axis", "orientation")),
        *((name, np.float64) for name in ("eccentricity", "solidity", "mean_probability")),
        *((f"{name}_intensity", np.float64) for name in ("mean", "min", "max", "sd")),
    ]
)


class Rule(ctypes.Structure):
    """How maps become objects: edgescope_rule."""

    _fields_ = (
        ("threshold", ctypes.c_double),
        ("core_threshold", ctypes.c_double),
        ("core_prominence", ctypes.c_double),
        ("core_smoothing", ctypes.c_double),
        ("min_area", ctypes.c_int64),
    )


def label(
    probability: NDArray[np.float32], core: NDArray[np.float32] | None, rule: Rule, threads: int = 1
) -> tuple[NDArray[np.int32], int]:
    """Number the objects of a frame, float32 (H, W); returns int32 (H, W) and how many there are.

    threads : at most so many work at the same time; the labels are the same with any number
    """
    probability = np.ascontiguousarray(probability, np.float32)
    core = None if core is None else np.ascontiguousarray(core, np.float32)
    labels = np.zeros(probability.shape, np.int32)
    height, width = _sides(probability)
    call = _library().edgescope_label
    count = call(_at(probability), _at(core), height, width, ctypes.byref(rule), threads, _at(labels))
    return labels, _check(count, f"Labelling maps of {width}x{height} pixels")


def measure(
    labels: NDArray[np.int32],
    count: int,
    frame: Values | None,
    probability: NDArray[np.float32] | None,
    threads: int = 1,
) -> NDArray[np.void]:
    """Measure the objects of a label image whose labels are 0 to count; returns OBJECT (count,), area 0 where none is.

    frame : (H, W), uint8, uint16 or float32, or None; probability : float32 (H, W), or None
    threads : see label
    """
    labels = np.ascontiguousarray(labels, np.int32)
    frame = None if frame is None else np.ascontiguousarray(_native(frame))
    if frame is not None and frame.dtype not in TYPES:
        msg = f"A frame must be uint8, uint16 or float32, not {frame.dtype}; try frame.astype(np.float32)."
        raise InputError(msg)
    probability = None if probability is None else np.ascontiguousarray(probability, np.float32)
    objects = np.zeros(count, OBJECT)
    height, width = _sides(labels)
    kind = 0 if frame is None else TYPES[frame.dtype]
    call = _library().edgescope_measure
    code = call(_at(labels), height, width, _at(frame), kind, _at(probability), threads, _at(objects), count)
    _check(code, f"Measuring {count} objects of {width}x{height} pixels")
    return objects


def count_levels(frame: Values, counts: NDArray[np.int64], left_out: NDArray[np.uint8] | None = None) -> None:
    """Add to counts, int64 (256,) or (65536,), how often each value occurs in a frame of uint8 or uint16.

    left_out : uint8 (H, W) without gaps, not 0 where a pixel is not counted
    """
    rows = _rows_in_memory(frame)
    height, width = _sides(rows)
    call = _library().edgescope_count_levels
    code = call(_at(rows), TYPES[rows.dtype], height, width, rows.strides[0], _at(left_out), _at(counts))
    _check(code, f"Counting the levels of {width}x{height} pixels")


def count_keys(
    frame: NDArray[np.float32],
    counts: NDArray[np.int64],
    uppers: Sequence[int] = (),
    left_out: NDArray[np.uint8] | None = None,
) -> bool:
    """Add to counts, int64 (65536,), how often each upper half of the float's key occurs (frames.intensities).

    uppers : count the lower halves of the keys with these upper halves instead, int64 (len(uppers), 65536)
    left_out : see count_levels
    Returns whether all pixels are finite, which is looked at with the upper halves alone.
    """
    rows = _rows_in_memory(frame)
    height, width = _sides(rows)
    call, halves = _library().edgescope_count_keys, np.array(uppers, np.int32)
    code = call(
        _at(rows), height, width, rows.strides[0], _at(left_out), _at(halves), len(halves), _at(counts)
    )  # fmt: skip
    return code != NOT_FINITE and _check(code, f"Counting the values of {width}x{height} pixels") == 0


def mark(frame: Values, away: tuple[float, float, int], marks: NDArray[np.uint8]) -> None:
    """Set to 1 in marks, uint8 (H, W) without gaps, all pixels within `reach` of one from low to high.

    away : low, high, reach
    """
    rows = _rows_in_memory(frame)
    height, width = _sides(rows)
    call = _library().edgescope_mark
    code = call(_at(rows), TYPES[rows.dtype], height, width, rows.strides[0], *away, _at(marks))
    _check(code, f"Marking pixels from {away[0]} to {away[1]}")


def intensities(
    frame: Values, low: float, high: float, is_robust: bool = True
) -> tuple[tuple[float, float, float, float], int]:
    """The range of a whole frame by the library's own rules, as hosts in other languages use it, and what was found.

    frames.intensities gives the same, and what it gives is what this package uses: it also works in blocks.
    """
    rows = _rows_in_memory(frame)
    height, width = _sides(rows)
    found = (ctypes.c_double * 4)()
    call = _library().edgescope_intensities
    code = call(_at(rows), TYPES[rows.dtype], height, width, rows.strides[0], low, high, is_robust, found)
    flags = _check(code, f"Looking at {width}x{height} pixels")
    return (found[0], found[1], found[2], found[3]), flags


def scale(frame: Values, limits: Sequence[float | None], result: NDArray[np.float32]) -> None:
    """Scale a frame or a part of it into `result`, float32 and at least as large; what is beyond it is mirrored.

    limits : a Range, or what becomes 0 and what becomes 1
    """
    rows = _rows_in_memory(frame)
    height, width = _sides(rows)
    zero, one, blank, like = (*limits, None, 0.0)[:4] if len(limits) < 4 else limits
    limits_there = (ctypes.c_double * 4)(zero, one, math.nan if blank is None else blank, like)
    call = _library().edgescope_scale
    code = call(
        _at(rows), TYPES[rows.dtype], height, width, rows.strides[0], limits_there, _at(result), *_sides(result)
    )
    _check(code, f"Scaling {width}x{height} pixels into {result.shape[1]}x{result.shape[0]}")


def tiles(size: int, tile: int, overlap: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Where the tiles along an axis begin, and their weights, float32 (tiles, tile)."""
    call = _library().edgescope_tiles
    count = _check(call(size, tile, overlap, None, None), f"Planning tiles of {tile} pixels over {size}")
    starts, weights = np.zeros(count, np.int32), np.zeros((count, tile), np.float32)
    _check(call(size, tile, overlap, _at(starts), _at(weights)), f"Planning tiles of {tile} pixels over {size}")
    return starts, weights


def blend(
    output: NDArray[np.float32],
    row_weights: NDArray[np.float32],
    col_weights: NDArray[np.float32],
    result: NDArray[np.float32],
    first: tuple[int, int],
    last: tuple[int, int],
) -> bool:
    """Add a tile's output, float32 (h, w), times its weights to a part of a map; returns whether all is finite.

    output, result : float32 (h, w); result is changed in place, and its rows are without gaps
    first : from this row and column on pixels are in no earlier tile, and are set
    last : before this row and column pixels are in no later tile, and are clipped to [0, 1]
    """
    if output.strides[1] != output.itemsize:
        output = np.ascontiguousarray(output)
    height, width = _sides(output)
    call = _library().edgescope_blend
    code = call(
        _at(output), output.strides[0] // 4, _at(row_weights), _at(col_weights), height, width, *first, *last,
        _at(result), result.strides[0] // 4,
    )  # fmt: skip
    return code != NOT_FINITE and _check(code, f"Blending {width}x{height} pixels") == 0


def clip(result: NDArray[np.float32]) -> bool:
    """Clip an array without gaps to [0, 1] in place; returns whether all was finite."""
    code = _library().edgescope_clip(_at(result), result.size)
    return code != NOT_FINITE and _check(code, f"Clipping {result.size} values") == 0


class ResizeAxis(ctypes.Structure):
    """How an axis is resized, and which part of the result is made: edgescope_axis."""

    _fields_ = tuple((name, ctypes.c_int32) for name in ("length", "start", "given", "new_length", "first", "wanted"))


def resize(image: Values, rows: ResizeAxis, cols: ResizeAxis) -> NDArray[np.float32]:
    """Resize a frame or map of uint8, uint16 or float32, or a part of it, to float32; see runtime.frames.resize."""
    given = _rows_in_memory(image)
    result = np.empty((rows.wanted, cols.wanted), np.float32)
    call = _library().edgescope_resize
    code = call(_at(given), TYPES[given.dtype], given.strides[0], ctypes.byref(rows), ctypes.byref(cols), _at(result))
    _check(code, f"Resizing {cols.length}x{rows.length} pixels to {cols.new_length}x{rows.new_length}")
    return result


def smooth(image: NDArray[np.float32], passes: int) -> None:
    """Smooth a map without gaps, float32 (H, W), in place, by a variance of passes / 2 square pixels."""
    height, width = _sides(image)
    _check(_library().edgescope_smooth(_at(image), height, width, passes), f"Smoothing {width}x{height} pixels")


@cache
def _library() -> Any:
    """Load the library. EdgescopeError when it is not there, or of another version."""
    remedy = "build it with: python -m runtime.kernel.build, or install the wheel for this platform"
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        msg = f"The library {LIBRARY.name} of edgescope cannot be loaded from {LIBRARY.parent} ({error}); {remedy}."
        raise EdgescopeError(msg) from error
    version = library.edgescope_version()
    if version != VERSION:
        msg = f"The library {LIBRARY} has version {version} and this edgescope needs version {VERSION}; {remedy}."
        raise EdgescopeError(msg)
    i32, i64, f64, address = ctypes.c_int32, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
    library.edgescope_message.restype = ctypes.c_char_p
    library.edgescope_label.argtypes = [address, address, i32, i32, address, i32, address]
    library.edgescope_measure.argtypes = [address, i32, i32, address, i32, address, i32, address, i32]
    library.edgescope_count_levels.argtypes = [address, i32, i32, i32, i64, address, address]
    library.edgescope_count_keys.argtypes = [address, i32, i32, i64, address, address, i32, address]
    library.edgescope_mark.argtypes = [address, i32, i32, i32, i64, f64, f64, i32, address]
    library.edgescope_intensities.argtypes = [address, i32, i32, i32, i64, f64, f64, i32, address]
    library.edgescope_scale.argtypes = [address, i32, i32, i32, i64, address, address, i32, i32]
    library.edgescope_tiles.argtypes = [i32, i32, i32, address, address]
    library.edgescope_blend.argtypes = [address, i64, address, address, *(i32,) * 6, address, i64]
    library.edgescope_clip.argtypes = [address, i64]
    library.edgescope_resize.argtypes = [address, i32, i64, address, address, address]
    library.edgescope_smooth.argtypes = [address, i32, i32, i32]
    return library


def _check(code: int, what: str) -> int:
    """Return a count or 0. An error code raises: EdgescopeError where memory is missing, otherwise InputError."""
    if code >= 0:
        return code
    msg = f"{what} failed: {_library().edgescope_message(code).decode()}."
    raise EdgescopeError(msg) if code == NO_MEMORY else InputError(msg)


def _at(array: NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


def _sides(image: NDArray[Any]) -> tuple[int, int]:
    """Height and width, as C takes them. InputError when they do not fit."""
    height, width = image.shape
    if max(height, width) > MAX_INT32:
        msg = f"An image of {width}x{height} pixels is too large; its sides must be under 2^31 pixels."
        raise InputError(msg)
    return height, width


def _native(frame: Values) -> Values:
    return frame if frame.dtype.isnative else frame.astype(frame.dtype.type)


def _rows_in_memory(frame: Values) -> Values:
    """The frame as the library takes it: in this machine's byte order, the pixels of a row without gaps."""
    frame = _native(frame)
    return frame if frame.strides[1] == frame.itemsize and frame.strides[0] >= 0 else np.ascontiguousarray(frame)
