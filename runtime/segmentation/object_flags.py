"""What is odd about the objects of a frame, by names that a host can act upon; see runtime.frames.flags.

Cheap, from the label image alone: how large the objects are, and how much of their outline they share with neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..frames.flags import OBJECT_SIZE, SHATTERED
from ..frames.scale import median_diameter_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..artifact.manifest import ObjectSize

FEWEST = 5  # objects: of fewer nothing is said
BEYOND = 1.25  # times the student's range of diameters
SHARED = 0.3  # of the pixel sides between an object and what is not it, those that are another object's


def object_flags(
    labels: NDArray[np.int32], count: int, factor: float, size: ObjectSize | None, finds_cells: bool = False
) -> tuple[str, ...]:
    """The flags of a label image, int32 (H, W), whose student saw it resized by `factor`.

    finds_cells : whole cells touch each other all over a tissue: that says nothing about them
    """
    if count < FEWEST:
        return ()
    flags: list[str] = []
    diameter = median_diameter_of(labels)
    if size is not None and diameter is not None:
        on_its_grid = diameter * factor
        if not size.low_px / BEYOND <= on_its_grid <= size.high_px * BEYOND:
            flags.append(OBJECT_SIZE)
    if not finds_cells and shared_outline(labels) > SHARED:
        flags.append(SHATTERED)
    return tuple(flags)


def shared_outline(labels: NDArray[np.int32]) -> float:
    """Of all pixel sides at which an object ends, the share at which another one begins; 0 without objects."""
    ends = shared = 0
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        apart = one != other
        ends += int(np.count_nonzero(apart))
        shared += int(np.count_nonzero(apart & (one > 0) & (other > 0)))
    return 2 * shared / max(1, ends + shared)
