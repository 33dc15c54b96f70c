"""Resizing and smoothing give the bits of a plain numpy reference, whole or in parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from runtime import kernel
from runtime.errors import InputError
from runtime.frames.resize import needed_for_part, resize, resize_part

SIDES = st.integers(1, 40)
SHAPES = st.tuples(SIDES, SIDES)
IMAGES = SHAPES.flatmap(
    lambda shape: st.sampled_from([np.uint8, np.uint16, np.float32]).flatmap(
        lambda dtype: npst.arrays(
            dtype, shape, elements=st.floats(-1e6, 1e6, width=32) if dtype == np.float32 else None
        )
    )
)


def taps(length: int, new: int) -> list[tuple[int, list[np.float32]]]:
    """For each new pixel, the first old one that it is made of, and their weights."""
    step = length / new
    result = []
    for i in range(new):
        if new < length:
            low, high = i * step, min((i + 1) * step, length)
            start, weights = int(low), []
            at = start
            while at < length and (at < high or not weights):
                weights.append(np.float32((min(at + 1, high) - max(at, low)) / step))
                at += 1
        else:
            centre = max(0.0, min((i + 0.5) * step - 0.5, length - 1))
            start = int(centre)
            part = np.float32(centre - start)
            weights = [np.float32(1) - part, part] if start + 1 < length else [np.float32(1)]
        result.append((start, weights))
    return result


def along_rows(image: np.ndarray, new: int) -> np.ndarray:
    rows = []
    for start, weights in taps(len(image), new):
        row = np.zeros(image.shape[1], np.float32)
        for k, weight in enumerate(weights):
            row = row + weight * image[start + k]
        rows.append(row)
    return np.stack(rows)


def reference(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    image = image.astype(np.float32)
    if shape[0] < image.shape[0]:
        return along_rows(along_rows(image, shape[0]).T, shape[1]).T
    return along_rows(along_rows(image.T, shape[1]).T, shape[0])


@given(IMAGES, SHAPES)
def test_resizing_has_the_bits_of_the_reference(image: np.ndarray, shape: tuple[int, int]):
    np.testing.assert_array_equal(resize(image, shape), reference(image, shape))


@given(IMAGES, SHAPES, st.data())
def test_a_part_is_that_part_of_the_whole(image: np.ndarray, shape: tuple[int, int], data: st.DataObject):
    part = tuple(
        slice(start := data.draw(st.integers(0, side - 1)), data.draw(st.integers(start + 1, side))) for side in shape
    )
    rows, cols = needed_for_part(image.shape, shape, part)
    result = resize_part(image[rows, cols], (rows.start, cols.start), image.shape, shape, part)
    np.testing.assert_array_equal(result, resize(image, shape)[part])


def test_a_part_without_its_pixels_is_refused():
    image = np.zeros((20, 20), np.float32)
    with pytest.raises(InputError, match="out of its range"):
        resize_part(image[:4], (0, 0), (20, 20), (10, 10), (slice(5, 6), slice(0, 10)))


def smoothed(image: np.ndarray, passes: int) -> np.ndarray:
    for _ in range(passes):
        for _ in range(2):
            around = np.pad(image, ((1, 1), (0, 0)), mode="edge")
            image = (((around[:-2] + 2 * around[1:-1] + around[2:]) * np.float32(0.25)).T).astype(np.float32)
    return image


@given(npst.arrays(np.float32, SHAPES, elements=st.floats(0, 1, width=32)), st.integers(0, 6))
def test_smoothing_has_the_bits_of_the_reference(image: np.ndarray, passes: int):
    result = image.copy()
    kernel.smooth(result, passes)
    np.testing.assert_array_equal(result, smoothed(image, passes))


def test_smoothing_spreads_a_point_by_the_variance_that_it_says():
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1
    kernel.smooth(image, 8)
    rows = np.arange(41) - 20
    assert image.sum() == pytest.approx(1)
    assert float((image.sum(1) * rows**2).sum()) == pytest.approx(8 / 2)
    assert math.isclose(image.max(), image[20, 20])
