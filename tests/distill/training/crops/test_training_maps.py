"""From instance labels to the planes that a student learns."""

from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from distill.config.sections import DataSection
from distill.training.crops.training_maps import CORES, core, distance, training_maps


def square(*corners: tuple[int, int], side: int, number: int = 1, shape=(60, 60)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for index, (row, col) in enumerate(corners):
        labels[row : row + side, col : col + side] = number + index
    return labels


def test_planes_stand_in_the_order_of_the_outputs():
    labels = square((10, 10), side=20)
    both, swapped = training_maps(labels, ("foreground", "core")), training_maps(labels, ("core", "foreground"))
    assert both.shape == (2, 60, 60)
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both, swapped[::-1])
    np.testing.assert_array_equal(both[0], labels > 0)
    assert training_maps(labels, ("foreground",)).shape == (1, 60, 60)


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
    assert not training_maps(np.zeros((8, 9), np.int32), ("foreground", "core")).any()


SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24))


def any_labels(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Rectangles of any size and place, over each other, cut by the frame."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for number in range(1, 7):
        row, col = rng.integers(-4, shape[0]), rng.integers(-4, shape[1])
        height, width = rng.integers(1, 14, 2)
        labels[max(0, row) : max(0, row + height), max(0, col) : max(0, col + width)] = number
    return labels


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_every_object_rises_to_one_and_is_positive_all_over(shape: tuple[int, int], seed: int):
    labels = any_labels(shape, seed)
    depth = distance(labels)
    assert depth.dtype == np.float32
    assert np.array_equal(depth > 0, labels > 0)
    assert depth.max(initial=0) <= 1
    assert all(depth[labels == number].max() == 1 for number in np.unique(labels[labels > 0]))


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_a_distance_is_that_of_the_object_alone(shape: tuple[int, int], seed: int):
    """What lies elsewhere, and what the others are called, changes nothing."""
    labels = any_labels(shape, seed)
    depth = distance(labels)
    for number in np.unique(labels[labels > 0]):
        alone = np.where(labels == number, 7, 0).astype(np.int32)
        np.testing.assert_array_equal(distance(alone)[labels == number], depth[labels == number])


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_a_distance_turns_with_its_image(shape: tuple[int, int], seed: int):
    labels = any_labels(shape, seed)
    np.testing.assert_allclose(distance(np.ascontiguousarray(labels.T)), distance(labels).T, atol=1e-6)
    np.testing.assert_allclose(distance(labels[::-1].copy()), distance(labels)[::-1], atol=1e-6)


def test_a_distance_equals_a_slow_one():
    labels = any_labels((20, 23), 5)
    expected = np.zeros(labels.shape)
    for number in np.unique(labels[labels > 0]):
        others = np.argwhere(labels != number)
        for row, col in np.argwhere(labels == number):
            expected[row, col] = np.hypot(*(others - (row, col)).T).min() - 0.5
        expected[labels == number] /= expected[labels == number].max()
    np.testing.assert_allclose(distance(labels), expected, rtol=1e-5)


def test_touching_objects_fall_where_they_meet():
    labels = square((10, 5), (10, 25), side=20)
    depth = distance(labels)
    row = depth[20, 5:45]
    assert row[[9, 10, 29, 30]].tolist() == [1, 1, 1, 1]
    assert (row[[0, 19, 20, 39]] < 0.1).all()
    seeds = np.zeros(labels.shape, np.int32)
    ndimage.label(depth > 0.3, np.ones((3, 3)), output=seeds)
    assert seeds.max() == 2


def test_a_pixel_alone_is_as_deep_as_can_be():
    labels = np.zeros((5, 6), np.int32)
    labels[2, 3], labels[4, 5] = 1, 2
    np.testing.assert_array_equal(distance(labels), labels > 0)


def test_a_thin_object_is_as_deep_all_along():
    labels = np.zeros((9, 40), np.int32)
    labels[3:6, 4:36] = 1
    depth = distance(labels)
    assert (depth[4, 5:35] == 1).all()
    assert np.unique(depth[3, 5:35]).tolist() == pytest.approx([1 / 3])


def test_an_object_that_the_crop_cuts_is_deepest_at_the_cut():
    depth = distance(square((0, 20), side=10, shape=(30, 60)))
    assert depth[0, 24] == 1  # it goes on beyond the frame's edge
    assert depth[9, 24] < 0.2


def test_an_object_that_fills_the_crop_is_one_all_over():
    np.testing.assert_array_equal(distance(np.full((8, 9), 3, np.int32)), np.ones((8, 9), np.float32))


def test_the_kind_of_core_is_chosen():
    labels = square((10, 10), side=20)
    np.testing.assert_array_equal(training_maps(labels, ("foreground", "core"), "distance")[1], distance(labels))
    np.testing.assert_array_equal(training_maps(labels, ("foreground", "core"), "eroded")[1], core(labels))


def test_the_kinds_are_those_that_a_configuration_may_name():
    assert tuple(CORES) == get_args(get_type_hints(DataSection)["core"])
