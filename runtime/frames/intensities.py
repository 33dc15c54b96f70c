"""Which intensities of a frame become 0 and 1, and what is odd about them. The ONLY rules, for hosts also in C.

Two percentiles of the whole frame, `low` and `high`, of those pixels that show the sample:

padding   One exact level at a corner, along a twentieth of the frame's edge or more, in runs of 16 pixels or more, is
          the filling of a stitched, shifted or turned image if the rest is one compact piece. It is left out, with the
          pixels within 2, which interpolation may have mixed; to the student it is shown as background, the 25th
          percentile of the rest.
debris    A gap in the brightest 3 %: among pixels of nearly the same rank, intensities above `low` rise by 1.6 or more.
          What is above the gap is left out, with its surroundings, if the rest is a picture by itself: `high` is far
          above the noise of the background there. So a few bright nuclei on an empty background are no debris.
inverted  The median is within 15 % of the brighter end: the sample is dark on a bright background. The brighter end
          becomes 0, the darker one 1, as if the image had been inverted before.

All is decided by counts of values, so it can be done in blocks; `look` yields what has to be counted next.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from ..artifact.manifest import Normalization

Line: TypeAlias = "NDArray[Any]"  # pixels of one row or column
Counts: TypeAlias = "NDArray[np.int64]"  # of each value, or of each half of a float's key; see Ask

PADDING, DEBRIS, INVERTED, BRIGHT_FIELD = "padding", "debris", "inverted", "bright_field"

LEAST_SIDE = 32  # pixels: of a smaller frame nothing but the percentiles is taken
EDGE_SHARE, EDGE_RUN = 0.05, 16  # of the frame's edge, at least; pixels, on average
MIXED = 2  # pixels beside padding that interpolation may have changed
PADDED_SHARE = 0.6  # of the frame, at most
ROUNDNESS = 1.5  # outline^2 / (16 area) of what is not padding: 1 for a square, 1.3 for a disc, 2 for two squares
TOP, STEP, STEPS = 3.0, 0.8, 13  # percent above which debris begins: 3, 2.4, 1.92, ... 0.206
GAP = 1.6
GLOW = 3  # pixels around debris
REST_SHARE = 0.3  # of the frame, at least
CONTRAST = 25.0  # of the rest's range to its noise
WORTH = 1.25  # debris that makes the range longer by less is let be
NOISE = (5.0, 25.0, 50.0, 75.0, 90.0)  # percentiles, of which the first above `low` tells the noise
BACKGROUND = 25.0  # percentile
BRIGHT, SURE = 0.6, 0.85  # where between low and high the median is, for a background that is not dark


class Range(NamedTuple):
    """The intensity that becomes 0, the one that becomes 1, and one, `blank`, that is taken for another, `like`."""

    zero: float
    one: float
    blank: float | None = None
    like: float = 0.0


class Intensities(NamedTuple):
    """A frame's range, and the names of what is odd; see runtime.frames.flags."""

    range: Range
    flags: tuple[str, ...] = ()


class Away(NamedTuple):
    """Pixels whose value is from `low` to `high`, and those up to `reach` rows and columns from one."""

    low: float
    high: float
    reach: int


class Ask(NamedTuple):
    """What to count: whole numbers, or the upper halves of the keys of float32, as int64 (256,) or (65536,).

    away : which pixels not to count
    uppers : the lower halves of the keys that have these upper ones instead, int64 (len(uppers), 65536)
    """

    away: tuple[Away, ...] = ()
    uppers: tuple[int, ...] = ()


class FrameEdge(NamedTuple):
    """What has to be known of a frame before anything is counted.

    shape : (H, W); edge : its outermost pixels from the upper left corner and around, once each; float64
    """

    shape: tuple[int, int]
    is_float: bool
    edge: NDArray[np.float64]

    @classmethod
    def of(cls, shape: tuple[int, int], top: Line, right: Line, bottom: Line, left: Line) -> FrameEdge:
        """The frame's outermost rows, from left to right, and columns, from top to bottom."""
        around = (top[:-1], right[:-1], bottom[:0:-1], left[:0:-1])
        return cls(shape, top.dtype.kind == "f", np.concatenate(around).astype(np.float64))

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Where on the edge they are."""
        height, width = self.shape
        return 0, width - 1, width + height - 2, 2 * width + height - 3


Look: TypeAlias = "Generator[Ask, Counts, Intensities]"


def find(plane: FrameEdge, how: Normalization, count: Callable[[Ask], Counts]) -> Intensities:
    """The frame's intensities; count : answers what `look` asks."""
    rules = look(plane, how)
    ask = next(rules)
    while True:
        try:
            ask = rules.send(count(ask))
        except StopIteration as end:
            return end.value


def look(plane: FrameEdge, how: Normalization) -> Look:
    """Yields what to count, is sent the counts, and returns the frame's range and flags."""
    if how.method == "percentile" or min(plane.shape) < LEAST_SIDE:
        _, (low, high) = yield from _quantiles(plane, (), (how.low, how.high))
        return Intensities(Range(low, high))
    flags: list[str] = []
    away: tuple[Away, ...] = ()
    blank = yield from _padding(plane)
    if blank is not None:
        flags.append(PADDING)
        away = (Away(blank, blank, MIXED),)
    tops = tuple(100.0 - top for top in _tops())
    wanted = (how.low, 50.0, how.high)
    size, (low, middle, high, *ladder) = yield from _quantiles(plane, away, (*wanted, *tops))
    start = _gap(low, ladder)
    if start is not None:
        without = (*away, Away(start, math.inf, GLOW))
        rest, values = yield from _quantiles(plane, without, (*wanted, *NOISE))
        if rest >= REST_SHARE * size and _is_picture(values) and high - low > WORTH * (values[2] - values[0]):
            flags.append(DEBRIS)
            away, (low, middle, high) = without, values[:3]
    place = (middle - low) / (high - low) if high > low else 0.0
    ends = (how.low, how.high, BACKGROUND)
    if place >= SURE and middle < high:
        flags.append(INVERTED)
        ends = (100.0 - how.low, 100.0 - how.high, 100.0 - BACKGROUND)
    elif place >= BRIGHT:
        flags.append(BRIGHT_FIELD)
    if blank is None and INVERTED not in flags:
        return Intensities(Range(low, high), tuple(flags))
    _, (zero, one, like) = yield from _quantiles(plane, away, ends)
    return Intensities(Range(zero, one, blank, 0.0 if blank is None else like), tuple(flags))


def _padding(plane: FrameEdge) -> Generator[Ask, Counts, float | None]:
    """The level of the padding, or None."""
    height, width = plane.shape
    size = height * width
    levels = dict.fromkeys(float(plane.edge[corner]) for corner in plane.corners)
    for level in levels:
        hits = plane.edge == level
        along = int(np.count_nonzero(hits))
        runs = int(np.count_nonzero(hits & ~np.roll(hits, 1)))
        if along < EDGE_SHARE * len(hits) or along < EDGE_RUN * runs:
            continue
        others = int((yield Ask((Away(level, level, 0),))).sum())
        apart = int((yield Ask((Away(level, level, 1),))).sum())
        far = int((yield Ask((Away(level, level, MIXED),))).sum())
        # A border of n pixels has n beside it and 2 n within 2; a lone pixel of the sample, 8 and 24, and so no share.
        outline = float(3 * (others - apart) - (others - far) + len(hits) - along)
        is_compact = outline * outline * height * width <= 4 * ROUNDNESS * others * (height + width) * (height + width)
        if size - far <= PADDED_SHARE * size and is_compact:
            return level
    return None


def _tops() -> list[float]:
    found = [TOP]
    while len(found) < STEPS:
        found.append(found[-1] * STEP)
    return found


def _gap(low: float, ladder: list[float]) -> float | None:
    """The level where debris would begin: between the ranks where intensities rise the most. None: nowhere by GAP."""
    most, start = GAP, None
    for below, above in zip(ladder, ladder[2:], strict=False):
        if below > low and above - low >= most * (below - low):
            most = (above - low) / (below - low)
            start = low + math.sqrt((below - low) * (above - low))
    return start


def _is_picture(values: list[float]) -> bool:
    """Whether the range is many times the noise; values : of low, median, high and NOISE."""
    low, _, high, *noise = values
    steps = [value - low for value in noise if value > low]
    return bool(steps) and high - low >= CONTRAST * steps[0]


# --- percentiles ------------------------------------------------------------------------------------------------------


def _quantiles(
    plane: FrameEdge, away: tuple[Away, ...], percents: tuple[float, ...]
) -> Generator[Ask, Counts, tuple[int, list[float]]]:
    """How many pixels are counted, then their percentiles, exactly those of numpy. Zeros where there are none."""
    counts = yield Ask(away)
    size = int(counts.sum())
    if not size:
        return 0, [0.0] * len(percents)
    ranks = [_rank(size, percent) for percent in percents]
    indices = [index for below, _ in ranks for index in (below, min(below + 1, size - 1))]
    if plane.is_float:
        uppers = tuple(dict.fromkeys(bins_at(counts, indices).tolist()))
        lower = yield Ask(away, uppers)
        values = values_of_keys(counts, dict(zip(uppers, lower, strict=True)), indices)
    else:
        values = [float(level) for level in bins_at(counts, indices)]
    return size, [_between(values[2 * i], values[2 * i + 1], part) for i, (_, part) in enumerate(ranks)]


def _rank(size: int, percent: float) -> tuple[int, float]:
    """Where a percentile lies among `size` sorted values: the index below it, and how far on to the next."""
    position = (size - 1) * (percent / 100)
    below = min(math.floor(position), size - 1)
    return below, position - below


def _between(a: float, b: float, part: float) -> float:
    """Linear interpolation in numpy's own order of operations, so that the last bit agrees with np.percentile."""
    return b - (b - a) * (1 - part) if part >= 0.5 else a + (b - a) * part


def values_of_keys(upper: Counts, lower: dict[int, Counts], indices: list[int]) -> list[float]:
    """The float32 values at these indices of the sorted frame, by the keys of 32 bits that sort like them.

    upper : int64 (65536,), how often each upper half of the key occurs
    lower : the same of the lower halves that occur with an upper half
    """
    halves = bins_at(upper, indices).tolist()
    before = upper.cumsum() - upper
    rest = [int(bins_at(lower[h], [i - int(before[h])])[0]) for h, i in zip(halves, indices, strict=True)]
    keys = np.array([(half << 16) + low for half, low in zip(halves, rest, strict=True)], np.uint32)
    # Floats have the order of their bits, but for the sign: negative ones run backwards, below the others.
    bits: NDArray[np.uint32] = np.where(keys >> 31, keys & np.uint32((1 << 31) - 1), ~keys)
    return np.frombuffer(bits.tobytes(), np.float32).tolist()


def bins_at(counts: Counts, indices: list[int]) -> NDArray[np.intp]:
    """In which bins these indices of the sorted values are."""
    return np.searchsorted(counts.cumsum(), indices, side="right")
