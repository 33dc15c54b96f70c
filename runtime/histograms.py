"""The intensity range of a plane that is read in blocks: exactly that of the whole plane, in one or two passes.

Values are sorted by a key of 32 bits that keeps their order. The first pass counts the upper 16 bits; for integer
images these are the values, and it is the only one. For float32 a second pass counts the lower 16 bits of the few
upper ones in which the percentiles lie. Counts of blocks add up, so blocks may be read anywhere, in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .normalize import check_frame, range_of_sorted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .manifest import Normalization
    from .normalize import Frame

BINS = 1 << 16


def count_upper(block: Frame) -> NDArray[np.int64]:
    """int64 (65536,): how often each upper half of the key occurs. InputError when the block is no part of a frame."""
    check_frame(block)
    return np.bincount(_keys(block) >> 16, minlength=BINS)


def count_lower(block: Frame, uppers: tuple[int, ...]) -> NDArray[np.int64]:
    """int64 (len(uppers), 65536): how often each lower half occurs beside these upper halves."""
    keys = _keys(block)
    parts = [keys[keys >> 16 == upper] & 0xFFFF for upper in uppers]
    return np.stack([np.bincount(part, minlength=BINS) for part in parts])


def uppers_needed(counts: NDArray[np.int64], how: Normalization) -> tuple[int, ...]:
    """The upper halves that a second pass over a float32 plane has to look into, from the sum of count_upper."""
    found: set[int] = set()

    def note(indices: list[int]) -> list[float]:
        found.update(int(upper) for upper in _bins_at(counts, indices))
        return [0.0] * len(indices)

    range_of_sorted(int(counts.sum()), how, note)
    return tuple(sorted(found))


def range_of_counts(
    counts: NDArray[np.int64],
    how: Normalization,
    uppers: tuple[int, ...] = (),
    lower: NDArray[np.int64] | None = None,
) -> tuple[float, float]:
    """intensity_range of the plane, from the sums of count_upper and, for float32, of count_lower."""

    def values_at(indices: list[int]) -> list[float]:
        bins = _bins_at(counts, indices)
        if lower is None:
            return [float(upper) for upper in bins]
        before = counts.cumsum() - counts
        keys = [
            (int(upper) << 16) + int(_bins_at(lower[uppers.index(upper)], [index - int(before[upper])])[0])
            for upper, index in zip(bins.tolist(), indices, strict=True)
        ]
        return [float(value) for value in _values(np.array(keys, np.uint32))]

    return range_of_sorted(int(counts.sum()), how, values_at)


def _bins_at(counts: NDArray[np.int64], indices: list[int]) -> NDArray[np.intp]:
    return np.searchsorted(counts.cumsum(), indices, side="right")


def _keys(block: Frame) -> NDArray[np.uint32]:
    if block.dtype.kind != "f":
        return np.left_shift(block.ravel(), 16, dtype=np.uint32)
    bits = np.frombuffer(block.astype(np.float32).tobytes(), np.uint32)
    # A float's bits are sorted like the floats, but for the sign: negative ones run backwards, below the others.
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _values(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    bits: NDArray[np.uint32] = np.where(keys >> 31, keys & np.uint32((1 << 31) - 1), ~keys)
    return np.frombuffer(bits.tobytes(), np.float32)
