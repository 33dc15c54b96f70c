"""Frame -> float32 in [0, 1], between two intensities of the whole frame. The ONLY implementation.

Training, calibration and deployment import it, so they cannot drift apart. The range belongs to the whole
frame and never to a tile: tile-local ones would show as seams. A huge frame is scaled tile by tile: compute
`intensity_range` once, then call `scale` on each tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from .. import kernel
from ..errors import InputError
from .intensities import Ask, FrameEdge, Range, find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..artifact.manifest import Normalization
    from .intensities import Counts, Intensities

Frame: TypeAlias = "NDArray[Any]"  # (H, W), uint8 | uint16 | float32; see check_frame
Limits: TypeAlias = "tuple[float, float] | Range"  # what becomes 0 and 1

BINS = 1 << 16
BLOCK = 1 << 17  # pixels that are looked at together: their temporary arrays fit into a processor's cache
DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


def normalize(frame: Frame, how: Normalization) -> NDArray[np.float32]:
    """Scale a frame's intensities to [0, 1]: its intensity_range.

    frame : ndarray of shape (H, W), uint8, uint16 or float32, finite (see check_frame)
    Returns float32 of shape (H, W). A constant frame returns zeros.
    """
    return scale(frame, intensity_range(frame, how))


def intensity_range(frame: Frame, how: Normalization) -> Range:
    """The intensities that become 0 and 1; see intensities_of."""
    return intensities_of(frame, how).range


def intensities_of(frame: Frame, how: Normalization, counts: Counts | None = None) -> Intensities:
    """The frame's intensity range, and what is odd about it, by the rules of runtime.frames.intensities.

    With the method "percentile" the range is exactly np.percentile(frame.astype(np.float64), (how.low, how.high)).
    Memory does not grow with the frame, but for a byte for each pixel where some are left out.
    counts : the frame's count_levels, where it was computed already
    """
    plane = FrameEdge.of(frame.shape, frame[0], frame[:, -1], frame[-1], frame[:, 0])
    return find(plane, how, lambda ask: count(frame, ask) if counts is None or ask.away else counts)


def count(frame: Frame, ask: Ask, inner: tuple[slice, slice] | None = None) -> Counts:
    """What `ask` asks of a frame, or of its part `inner`: pixels around that are looked at then, and not counted."""
    marks = None
    if ask.away:
        marks = np.zeros(frame.shape, np.uint8)
        for away in ask.away:
            kernel.mark(frame, away, marks)
    if inner is not None:
        frame, marks = frame[inner], None if marks is None else np.ascontiguousarray(marks[inner])
    if frame.dtype.kind == "f":
        counts = np.zeros((len(ask.uppers), BINS) if ask.uppers else BINS, np.int64)
        kernel.count_keys(frame, counts, ask.uppers, marks)
    else:
        counts = np.zeros(np.iinfo(frame.dtype).max + 1, np.int64)
        kernel.count_levels(frame, counts, marks)
    return counts


def scale(tile: Frame, limits: Limits, shape: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Map limits[0] to 0 and limits[1] to 1, and clip. Limits that coincide (a constant frame) give zeros.

    tile : any part (h, w) of the frame whose intensity_range the limits are
    limits : the first is above the second where the image is inverted; see Range
    shape : of the result, where it is larger than the tile, which is mirrored at its bottom and right
    Returns float32. It is computed in double: float32 would lose the signal on a high offset, and overflow at its ends.
    """
    result = np.empty(shape or tile.shape, np.float32)
    if tile.size:
        kernel.scale(tile, limits, result)
    return result


def without_blank(frame: Frame, limits: Limits) -> Frame:
    """The frame with limits' `blank` replaced by what it is taken for, as a mean of pixels would not be known again.

    The frame itself where nothing is blank; else float32.
    """
    if not isinstance(limits, Range) or limits.blank is None:
        return frame
    return np.where(frame == limits.blank, np.float32(limits.like), frame).astype(np.float32)


def count_levels(frame: Frame) -> Counts:
    """How often each value occurs in a frame of whole numbers: int64 of length 256 or 65536."""
    return count(frame, Ask())


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
