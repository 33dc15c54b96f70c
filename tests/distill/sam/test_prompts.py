"""Boxes and points of labels, and the grid."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from distill.sam.prompts import boxes, grid, points

LABELS = arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 5))


@given(LABELS)
def test_a_box_begins_and_ends_with_a_pixel_of_its_object(labels):
    numbers = [number for number in range(1, 6) if (labels == number).any()]
    found = boxes(labels)
    assert found.shape == (len(numbers), 4)
    for (x0, y0, x1, y1), number in zip(found, numbers, strict=True):
        rows, cols = np.nonzero(labels == number)
        assert (x0, y0, x1, y1) == (cols.min(), rows.min(), cols.max(), rows.max())


@given(LABELS)
def test_a_point_lies_in_its_object(labels):
    numbers = [number for number in range(1, 6) if (labels == number).any()]
    found = points(labels)
    assert found.shape == (len(numbers), 2)
    assert [labels[int(y), int(x)] for x, y in found] == numbers


def test_a_point_of_a_compact_object_is_its_centroid():
    labels = np.zeros((20, 30), np.int32)
    labels[4:9, 10:21] = 1
    assert points(labels).tolist() == [[15, 6]]


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 9))
def test_a_grid_is_even_and_inside(height, width, side):
    found = grid((height, width), side)
    assert found.shape == (side * side, 2)
    assert (found >= -0.5).all()
    assert (found[:, 0] <= width - 0.5).all()
    assert (found[:, 1] <= height - 0.5).all()
    assert np.allclose(found.mean(0), ((width - 1) / 2, (height - 1) / 2), atol=1e-3)
