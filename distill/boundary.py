"""How well outlines agree: the boundary F1 of two masks (Csurka et al. 2013, BMVC, "What is a good evaluation measure
for semantic segmentation?").

Precision is the share of the found outline that lies within a tolerance of the true one, recall the share of the
true outline within it of the found one; F1 is their harmonic mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

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
    precision = float((_distance_to(true)[found] <= tolerance).mean())
    recall = float((_distance_to(found)[true] <= tolerance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour (of four) outside it; the image's border is no outline."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def _distance_to(pixels: NDArray[np.bool_]) -> NDArray[np.float64]:
    distance = ndimage.distance_transform_edt(~pixels)
    assert isinstance(distance, np.ndarray)
    return distance
