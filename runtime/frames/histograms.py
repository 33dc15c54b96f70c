"""The intensity range of a plane that is read in blocks: exactly that of the whole plane, in one or two passes.

Values are sorted by a key of 32 bits that keeps their order. The first pass counts the upper 16 bits; for integer
images these are the values, and it is the only one. For float32 a second pass counts the lower 16 bits of the few
upper ones in which the percentiles lie. Counts of blocks add up, so blocks may be read anywhere, in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import kernel
from .normalize import BINS, bins_at, check_frame, range_of_sorted, values_of_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..artifact.manifest import Normalization
    from .normalize import Frame


def count_upper(block: Frame) -> NDArray[np.int64]:
    """int64 (65536,): how often each upper half of the key occurs. InputError when the block is no part of a frame."""
    check_frame(block)
    counts = np.zeros(BINS, np.int64)
    if block.dtype.kind == "f":
        kernel.count_keys(block, counts)
    else:
        kernel.count_levels(block, counts)
    return counts


def count_lower(block: Frame, uppers: tuple[int, ...]) -> NDArray[np.int64]:
    """int64 (len(uppers), 65536): how often each lower half occurs beside these upper halves."""
    counts = np.zeros((len(uppers), BINS), np.int64)
    for one, upper in zip(counts, uppers, strict=True):
        kernel.count_keys(block, one, upper)
    return counts


def uppers_needed(counts: NDArray[np.int64], how: Normalization) -> tuple[int, ...]:
    """The upper halves that a second pass over a float32 plane has to look into, from the sum of count_upper."""
    found: set[int] = set()

    def note(indices: list[int]) -> list[float]:
        found.update(int(upper) for upper in bins_at(counts, indices))
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
        if lower is None:
            return [float(level) for level in bins_at(counts, indices)]
        return values_of_keys(counts, dict(zip(uppers, lower, strict=True)).__getitem__, indices)

    return range_of_sorted(int(counts.sum()), how, values_at)
