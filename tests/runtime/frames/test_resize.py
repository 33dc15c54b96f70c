"""Resizing: area means and linear interpolation, against slow and literal references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from runtime.frames.resize import resize

SIDES = st.integers(1, 24)
IMAGES = st.tuples(SIDES, SIDES).flatmap(
    lambda shape: npst.arrays(np.float32, shape, elements=st.floats(0, 1000, width=32))
)


def area_mean(line: np.ndarray, size: int) -> np.ndarray:
    """The literal meaning of shrinking: each old pixel counts with the share of it that a new pixel covers."""
    step = len(line) / size
    covered = [[max(0.0, min(i + 1, (j + 1) * step) - max(i, j * step)) for i in range(len(line))] for j in range(size)]
    return np.array(covered) @ line / step


@given(IMAGES, SIDES)
def test_shrinking_is_the_mean_over_the_area(image: np.ndarray, size: int):
    size = min(size, image.shape[0])
    expected = np.stack([area_mean(column, size) for column in image.T.astype(np.float64)], axis=1)
    np.testing.assert_allclose(resize(image, (size, image.shape[1])), expected, rtol=1e-5, atol=1e-4)


@given(IMAGES, SIDES)
def test_enlarging_is_linear_between_centres(image: np.ndarray, more: int):
    height, width = image.shape
    size = height + more
    at = (np.arange(size) + 0.5) * height / size - 0.5
    expected = np.stack([np.interp(at, np.arange(height), column) for column in image.T], axis=1)
    np.testing.assert_allclose(resize(image, (size, width)), expected, rtol=1e-5, atol=1e-4)


@given(IMAGES, SIDES, SIDES)
def test_the_range_is_kept_and_axes_are_alike(image: np.ndarray, height: int, width: int):
    result = resize(image, (height, width))
    assert result.shape == (height, width)
    assert result.dtype == np.float32
    assert result.min() >= image.min() - 1e-3
    assert result.max() <= image.max() + 1e-3
    np.testing.assert_allclose(resize(image.T, (width, height)).T, result, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_result_is_float(dtype: type):
    result = resize(np.array([[0, 1, 254, 255]], dtype), (1, 2))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[0.5, 254.5]])


def test_the_same_shape_is_a_copy():
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    result = resize(image, (2, 3))
    np.testing.assert_array_equal(result, image)
    assert not np.shares_memory(result, image)
