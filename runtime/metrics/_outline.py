"""How well outlines agree: the boundary F1 of two masks (Csurka et al. 2013, BMVC, "What is a good evaluation measure
for semantic segmentation?"). The one definition of it, beside those of overlap.py.

Precision is the share of the found outline that lies within a tolerance of the true one, recall the share of the
true outline within it of the found one; F1 is their harmonic mean.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 2.0  # pixels


def boundary_f1(mask: NDArray[np.bool_], truth: NDArray[np.bool_], tolerance: float = TOLERANCE) -> float:
    """F1 of the outlines of two masks (H, W), in [0, 1]; 0 where one alone has an outline.

    Where neither has one, each is empty or full: 1 if both are the same, else 0.
    """
    found, true = outline(mask), outline(truth)
    if not found.any() or not true.any():
        return float(np.array_equal(mask, truth))
    precision = float(_near(true, tolerance)[found].mean())
    recall = float(_near(found, tolerance)[true].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour (of four) outside it; the image's border is no outline."""
    padded = np.pad(mask, 1, constant_values=True)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def _near(pixels: NDArray[np.bool_], distance: float) -> NDArray[np.bool_]:
    """The pixels within a distance of these: each of them, moved to all places of a disc."""
    reach = math.floor(distance)
    height, width = pixels.shape
    padded = np.pad(pixels, reach)
    result = np.zeros_like(pixels)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down * down + right * right <= distance * distance:
                row, col = reach + down, reach + right
                result |= padded[row : row + height, col : col + width]
    return result
