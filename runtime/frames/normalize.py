"""Frame -> float32 in [0, 1], between two percentiles of the whole frame. The ONLY implementation.

Training, calibration and deployment import it, so they cannot drift apart. The percentiles belong to the whole
frame and never to a tile: tile-local ones would show as seams. A huge frame is scaled tile by tile: compute
`intensity_range` once, then call `scale` on each tile.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from .. import kernel
from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ..artifact.manifest import Normalization

Frame: TypeAlias = "NDArray[Any]"  # (H, W), uint8 | uint16 | float32; see check_frame
Counts: TypeAlias = "NDArray[np.int64]"  # of each value in a frame; see count_levels

BINS = 1 << 16
BLOCK = 1 << 17  # pixels that are looked at together: their temporary arrays fit into a processor's cache
DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


def normalize(frame: Frame, how: Normalization) -> NDArray[np.float32]:
    """Scale a frame's intensities to [0, 1] between two percentiles of the whole frame.

    frame : ndarray of shape (H, W), uint8, uint16 or float32, finite (see check_frame)
    Returns float32 of shape (H, W). A constant frame returns zeros.
    """
    return scale(frame, intensity_range(frame, how))


def intensity_range(frame: Frame, how: Normalization, counts: Counts | None = None) -> tuple[float, float]:
    """The frame's two percentiles, exactly np.percentile(frame.astype(np.float64), (how.low, how.high)).

    Integer frames go through a histogram, so memory does not grow with the frame; float32 through a partition.
    counts : the frame's count_levels, where it was computed already
    """
    return range_of_sorted(frame.size, how, lambda indices: _sorted_values(frame, indices, counts))


def range_of_sorted(
    size: int, how: Normalization, values_at: Callable[[list[int]], list[float]]
) -> tuple[float, float]:
    """intensity_range of pixels that are known by their order alone.

    size : how many there are
    values_at : indices -> the values that would stand there if all pixels were sorted
    """
    ranks = [_rank(size, percent) for percent in (how.low, how.high)]
    values = values_at([index for below, _ in ranks for index in (below, min(below + 1, size - 1))])
    low = _between(values[0], values[1], ranks[0][1])
    high = _between(values[2], values[3], ranks[1][1])
    return low, high


def scale(tile: Frame, limits: tuple[float, float], shape: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Map limits[0] to 0 and limits[1] to 1, and clip. Limits that coincide (a constant frame) give zeros.

    tile : any part (h, w) of the frame whose intensity_range the limits are
    shape : of the result, where it is larger than the tile, which is mirrored at its bottom and right
    Returns float32. It is computed in double: float32 would lose the signal on a high offset, and overflow at its ends.
    """
    result = np.empty(shape or tile.shape, np.float32)
    if tile.size:
        kernel.scale(tile, limits, result)
    return result


def count_levels(frame: Frame) -> Counts:
    """How often each value occurs in a frame of whole numbers: int64 of length 256 or 65536."""
    counts = np.zeros(np.iinfo(frame.dtype).max + 1, np.int64)
    kernel.count_levels(frame, counts)
    return counts


def check_frame(frame: object) -> None:
    """Refuse what is not one finite grey image: InputError says what was wrong, the value and the next step."""
    check_form(frame)
    array = cast("Frame", frame)
    if array.dtype.kind == "f":
        _check_finite(array)


def check_form(frame: object) -> None:
    """The part of check_frame that does not look at the pixels, and takes microseconds."""
    if not isinstance(frame, np.ndarray):
        msg = f"A frame must be a numpy array, not {type(frame).__name__}; convert it with np.asarray(frame)."
        raise InputError(msg)
    array = cast("Frame", frame)
    if array.ndim != 2:
        raise InputError(_wrong_axes(array.shape))
    if array.size == 0:
        msg = f"The frame is empty: its shape is {array.shape}; it needs at least one pixel."
        raise InputError(msg)
    if not any(np.can_cast(array.dtype, dtype, "equiv") for dtype in DTYPES):  # either byte order
        raise InputError(_wrong_dtype(array))


def _wrong_axes(shape: tuple[int, ...]) -> str:
    one = "A frame has two axes (height, width)"
    if len(shape) == 3 and shape[-1] in (3, 4):
        return f"{one}, but its shape is {shape}, like colour; give one channel: frame[..., 0], or --channel 0."
    if len(shape) == 3 and shape[0] <= 4:
        return f"{one}, but its shape is {shape}; give one channel: frame[0], or --channel 0."
    if len(shape) > 2:
        return f"{one}, but its shape is {shape}; give one plane of the stack at a time."
    return f"{one}, but its shape is {shape}; reshape it."


def _wrong_dtype(frame: Frame) -> str:
    kind = frame.dtype
    if kind == np.bool_:
        remedy = "cast a mask with frame.astype(np.uint8), if an image of two values is what you mean"
    elif kind.kind == "f":
        remedy = "cast it with frame.astype(np.float32), or save the image as 32-bit float"
    elif kind.kind in "iu":
        remedy = (
            f"its values are {frame.min()} to {frame.max()}: if they fit 0 to 65535 cast it with "
            "frame.astype(np.uint16), otherwise frame.astype(np.float32)"
        )
    else:
        remedy = "convert it to one of these"
    return f"A frame must be uint8, uint16 or float32, but it is {kind}; {remedy}."


def _check_finite(frame: Frame) -> None:
    count, first = 0, None
    for rows in _row_blocks(frame):
        bad = ~np.isfinite(frame[rows])
        count += int(np.count_nonzero(bad))
        if count and first is None:
            row, col = np.unravel_index(int(bad.argmax()), bad.shape)
            first = (rows.start + int(row), int(col))
    if first is not None:
        msg = (
            f"The frame holds {count} value(s) that are not finite, the first is {frame[first]} at row {first[0]}, "
            f"column {first[1]}; replace them, e.g. with np.nan_to_num(frame)."
        )
        raise InputError(msg)


def _row_blocks(frame: Frame) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, frame.shape[-1]))
    for start in range(0, frame.shape[0], step):
        yield slice(start, min(start + step, frame.shape[0]))


def _rank(size: int, percent: float) -> tuple[int, float]:
    """Where a percentile lies among `size` sorted values: the index below it, and how far on to the next."""
    position = (size - 1) * (percent / 100)
    below = min(math.floor(position), size - 1)
    return below, position - below


def _between(a: float, b: float, part: float) -> float:
    """Linear interpolation in numpy's own order of operations, so that the last bit agrees with np.percentile."""
    return b - (b - a) * (1 - part) if part >= 0.5 else a + (b - a) * part


def _sorted_values(frame: Frame, indices: list[int], counts: Counts | None) -> list[float]:
    """The values that would stand at these indices of the sorted frame."""
    if frame.dtype.kind == "f":
        upper = np.zeros(BINS, np.int64)
        kernel.count_keys(frame, upper)
        return values_of_keys(upper, lambda half: _lower_halves(frame, half), indices)
    return [float(level) for level in bins_at(count_levels(frame) if counts is None else counts, indices)]


def _lower_halves(frame: Frame, upper: int) -> Counts:
    counts = np.zeros(BINS, np.int64)
    kernel.count_keys(frame, counts, upper)
    return counts


def values_of_keys(upper: Counts, lower_of: Callable[[int], Counts], indices: list[int]) -> list[float]:
    """The float32 values at these indices of the sorted frame, by the keys of 32 bits that sort like them.

    upper : int64 (65536,), how often each upper half of the key occurs
    lower_of : gives the same of the lower halves that occur with an upper half
    """
    halves = bins_at(upper, indices).tolist()
    before = upper.cumsum() - upper
    lower = {half: lower_of(half) for half in dict.fromkeys(halves)}
    rest = [int(bins_at(lower[h], [i - int(before[h])])[0]) for h, i in zip(halves, indices, strict=True)]
    keys = np.array([(half << 16) + low for half, low in zip(halves, rest, strict=True)], np.uint32)
    # Floats have the order of their bits, but for the sign: negative ones run backwards, below the others.
    bits: NDArray[np.uint32] = np.where(keys >> 31, keys & np.uint32((1 << 31) - 1), ~keys)
    return np.frombuffer(bits.tobytes(), np.float32).tolist()


def bins_at(counts: Counts, indices: list[int]) -> NDArray[np.intp]:
    """In which bins these indices of the sorted values are."""
    return np.searchsorted(counts.cumsum(), indices, side="right")
