"""Resize an image to another grid over the same area, in numpy: area means to shrink, linear to enlarge.

Pixels are little squares and their values lie at their centres, so that the image's corners stay where they are.
Shrinking averages exactly the area that a new pixel covers, which is what a camera with larger pixels would have seen;
enlarging interpolates between the centres and adds no detail. Each axis is treated by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def resize(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Resize to (H, W).

    image : ndarray of shape (h, w), uint8, uint16 or float32
    Returns an array of the same dtype; whole numbers are rounded to the nearest.
    """
    result: NDArray[np.float32] = image.astype(np.float32)
    for axis, size in sorted(enumerate(shape), key=lambda pair: pair[1] / image.shape[pair[0]]):
        result = _along(result, size, axis)  # the axis that shrinks most goes first: less is left to do
    return np.rint(result).astype(image.dtype) if image.dtype.kind in "iu" else result


def _along(image: NDArray[np.float32], size: int, axis: int) -> NDArray[np.float32]:
    if size == image.shape[axis]:
        return image
    return _shrink(image, size, axis) if size < image.shape[axis] else _enlarge(image, size, axis)


def _shrink(image: NDArray[np.float32], size: int, axis: int) -> NDArray[np.float32]:
    """Means over the areas of the new pixels: differences of the running sum, which is linear within a pixel."""
    have = image.shape[axis]
    edges = np.arange(size + 1) * (have / size)
    below = np.minimum(edges.astype(np.intp), have - 1)
    part = edges - below
    sums = np.zeros((have + 1, image.shape[1 - axis]))  # float64: a sum over thousands of pixels keeps their last bit
    np.cumsum(np.moveaxis(image, axis, 0), axis=0, dtype=np.float64, out=sums[1:])
    at_edges = sums[below] * (1 - part)[:, None] + sums[below + 1] * part[:, None]
    means = np.diff(at_edges, axis=0) * (size / have)
    return np.moveaxis(means, 0, axis).astype(np.float32)


def _enlarge(image: NDArray[np.float32], size: int, axis: int) -> NDArray[np.float32]:
    """Linear between the centres; beyond the outermost centres their values."""
    have = image.shape[axis]
    centres = ((np.arange(size) + 0.5) * (have / size) - 0.5).clip(0, have - 1)
    below = centres.astype(np.intp)
    above = np.minimum(below + 1, have - 1)
    part = (centres - below).astype(np.float32)
    part = part[:, None] if axis == 0 else part
    lower, upper = np.take(image, below, axis), np.take(image, above, axis)
    return lower + (upper - lower) * part
