"""Resize an image to another grid over the same area: area means to shrink, linear interpolation to enlarge.

Pixels are little squares and their values lie at their centres, so that the image's corners stay where they are.
Shrinking averages exactly the area that a new pixel covers, which is what a camera with larger pixels would have seen;
enlarging interpolates between the centres and adds no detail. Each axis is treated by itself; see kernel/resize.c.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def resize(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize to (H, W).

    image : ndarray of shape (h, w), uint8, uint16 or float32
    Returns float32 of shape (H, W), within the image's range up to rounding.
    """
    rows, cols = (
        kernel.ResizeAxis(length, 0, length, new, 0, new) for length, new in zip(image.shape, shape, strict=True)
    )
    return kernel.resize(image, rows, cols)


def resize_part(
    pixels: NDArray[Any],
    start: tuple[int, int],
    whole: tuple[int, int],
    shape: tuple[int, int],
    part: tuple[slice, slice],
) -> NDArray[np.float32]:
    """A part of `resize(image, shape)`, bit for bit, from the pixels that needed_for_part names.

    pixels : (h, w) of the image from row and column `start` on; whole : (height, width) of the image
    shape : of the whole result; part : rows and columns of it
    Returns float32 of the part's shape. InputError when pixels are missing.
    """
    rows, cols = (
        kernel.ResizeAxis(length, first, given, new, side.start, side.stop - side.start)
        for length, first, given, new, side in zip(whole, start, pixels.shape, shape, part, strict=True)
    )
    return kernel.resize(pixels, rows, cols)


def needed_for_part(whole: tuple[int, int], shape: tuple[int, int], part: tuple[slice, slice]) -> tuple[slice, slice]:
    """The rows and columns of an image of size `whole` that a part of it, resized to `shape`, is made of."""
    rows, cols = (_needed(length, new, side) for length, new, side in zip(whole, shape, part, strict=True))
    return rows, cols


def _needed(length: int, new: int, side: slice) -> slice:
    step = length / new
    if new < length:
        return slice(max(0, math.floor(side.start * step) - 1), min(length, math.ceil(side.stop * step) + 1))
    low, high = ((i + 0.5) * step - 0.5 for i in (side.start, side.stop - 1))
    return slice(max(0, math.floor(low) - 1), min(length, math.floor(high) + 3))
