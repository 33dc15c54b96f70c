"""Where SAM is pointed at: boxes and points in pixels of the field, x (column) before y (row)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = 32  # points a side, as in SAM's own automatic mode


def boxes(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """The box of every object, (N, 4): first and last column and row that it has, as x0, y0, x1, y1.

    Both ends are pixels of the object: SAM's authors cut their boxes so, and the network adds half a pixel to each.
    """
    found = [place for place in ndimage.find_objects(labels) if place is not None]
    return np.array([(x.start, y.start, x.stop - 1, y.stop - 1) for y, x in found], np.float32).reshape(-1, 4)


def points(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """One point in every object, (N, 2): of its pixels the one nearest to the centroid, which may lie outside."""
    found = []
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        if place is not None:
            rows, cols = np.nonzero(labels[place] == number)
            nearest = np.argmin((rows - rows.mean()) ** 2 + (cols - cols.mean()) ** 2)
            found.append((place[1].start + cols[nearest], place[0].start + rows[nearest]))
    return np.array(found, np.float32).reshape(-1, 2)


def grid(shape: tuple[int, ...], side: int = GRID) -> NDArray[np.float32]:
    """side x side points over a field (H, W), evenly spaced, (N, 2)."""
    rows, cols = ((np.arange(side) + 0.5) / side * length - 0.5 for length in shape)
    return np.array([(x, y) for y in rows for x in cols], np.float32)
