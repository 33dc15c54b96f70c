"""Smooth random fields: cubic B-splines over a coarse grid of normal numbers.

Each pixel is a weighted sum of four knots along each axis, written out as array operations: a product of BLAS
would depend on its number of threads, and labels follow from these numbers.
"""

import numpy as np
from numpy.typing import NDArray

SPLINE_STD = 0.479  # of the sum before scaling: mean over a grid cell of the summed squared weights


def smooth(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> NDArray[np.floating]:
    """Zero mean, unit variance float32 (H, W), varying over about `scale` pixels."""
    positions = [np.arange(n) / scale + rng.random() for n in shape]
    knots = [int(position[-1]) + 4 for position in positions]
    field: NDArray[np.floating] = rng.standard_normal(knots, np.float32) / np.float32(SPLINE_STD)
    for axis, position in enumerate(positions):
        field = _interpolate(field, axis, position.astype(int), _cubic(position % 1))
    return field


def enlarge(coarse: NDArray[np.floating], factor: int, shape: tuple[int, int]) -> NDArray[np.floating]:
    """A coarse image back on the full grid, linearly."""
    field = np.pad(coarse, 1, mode="edge")
    for axis, n in enumerate(shape):
        position = (np.arange(n) + 0.5) / factor + 0.5
        field = _interpolate(field, axis, position.astype(int), (1 - position % 1, position % 1))
    return field


def shrink(image: NDArray[np.floating], factor: int) -> NDArray[np.floating]:
    """Means over factor x factor blocks; the last rows and columns are repeated to fill a block."""
    height, width = (-(-n // factor) * factor for n in image.shape)
    padded = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1])), mode="edge")
    blocks = padded.reshape(height // factor, factor, width // factor, factor)
    return blocks.sum(3).sum(1) / np.float32(factor**2)


def _interpolate(
    field: NDArray[np.floating], axis: int, knot: NDArray[np.int64], weights: tuple[NDArray[np.float64], ...]
) -> NDArray[np.floating]:
    """Sum over the taps of weight times field, along one axis; rows of the result are as many as knots."""
    along = (slice(None), None) if axis == 0 else (None, slice(None))
    first, *others = weights
    total = field.take(knot, axis) * first.astype(np.float32)[along]
    for offset, weight in enumerate(others, 1):
        total += field.take(knot + offset, axis) * weight.astype(np.float32)[along]
    return total


def _cubic(t: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    return (1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6
