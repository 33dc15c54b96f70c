"""From instance labels to the planes that a student learns."""

import numpy as np
from scipy import ndimage

from distill.targets import core, targets


def square(*corners: tuple[int, int], side: int, number: int = 1, shape=(60, 60)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for index, (row, col) in enumerate(corners):
        labels[row : row + side, col : col + side] = number + index
    return labels


def test_planes_stand_in_the_order_of_the_outputs():
    labels = square((10, 10), side=20)
    both, swapped = targets(labels, ("foreground", "core")), targets(labels, ("core", "foreground"))
    assert both.shape == (2, 60, 60)
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both, swapped[::-1])
    np.testing.assert_array_equal(both[0], labels > 0)
    assert targets(labels, ("foreground",)).shape == (1, 60, 60)


def test_a_core_is_two_pixels_inside_its_object():
    np.testing.assert_array_equal(core(square((10, 10), side=20)), square((12, 12), side=16) > 0)


def test_a_small_object_keeps_a_core_one_pixel_inside():
    np.testing.assert_array_equal(core(square((10, 10), side=10)), square((11, 11), side=8) > 0)


def test_touching_objects_have_cores_apart():
    labels = square((10, 5), (10, 25), side=20)
    parts = np.zeros(labels.shape, np.int32)
    ndimage.label(core(labels), np.ones((3, 3)), output=parts)
    assert parts.max() == 2
    assert all(len(np.unique(labels[parts == part])) == 1 for part in (1, 2))


def test_numbers_of_objects_need_not_be_dense():
    dense, sparse = square((10, 5), (10, 25), side=20), square((10, 5), (10, 25), side=20, number=900)
    np.testing.assert_array_equal(core(dense), core(sparse))


def test_an_object_at_the_frame_edge_goes_on_beyond_it():
    found = core(square((0, 0), side=20))
    assert found[0, 0]
    assert not found[18, 0]


def test_no_objects_make_empty_planes():
    assert not targets(np.zeros((8, 9), np.int32), ("foreground", "core")).any()
