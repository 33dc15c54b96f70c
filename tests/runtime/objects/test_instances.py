"""Objects: touching ones come apart at their cores, none is lost, small ones go."""

from __future__ import annotations

import numpy as np
import pytest

from runtime import InputError
from runtime.artifact.manifest import Objects
from runtime.objects.instances import label_objects

OBJECTS = Objects(core_threshold=0.5, min_area=4)


@pytest.fixture
def touching() -> tuple[np.ndarray, np.ndarray]:
    """Two squares that touch, with a core each, and one square without a core."""
    probability, core = np.zeros((2, 20, 30), np.float32)
    probability[2:10, 2:18] = probability[14:18, 20:28] = 0.9
    core[4:8, 4:8] = core[4:8, 12:16] = 0.8
    return probability, core


def test_touching_objects_are_split_in_the_middle(touching):
    labels = label_objects(*touching, 0.5, OBJECTS)
    assert labels.dtype == np.int32
    assert len(np.unique(labels[2:10, 2:10])) == len(np.unique(labels[2:10, 10:18])) == 1
    assert labels[5, 5] != labels[5, 15]


def test_a_part_of_the_mask_without_a_core_is_one_object(touching):
    labels = label_objects(*touching, 0.5, OBJECTS)
    assert len(np.unique(labels[14:18, 20:28])) == 1
    assert sorted(np.unique(labels)) == [0, 1, 2, 3]


def test_labels_cover_the_mask_and_nothing_else(touching):
    np.testing.assert_array_equal(label_objects(*touching, 0.5, Objects(0.5, 0)) > 0, touching[0] > 0.5)


def discs(distance: float) -> np.ndarray:
    """Two discs of radius 10 whose centres are that far from each other."""
    rows, cols = np.mgrid[:40, :70]
    near = [np.hypot(rows - 20, cols - 25 - shift) for shift in (0, distance)]
    return (np.minimum(*near) <= 10).astype(np.float32)


def test_without_cores_the_distance_to_the_background_tells_discs_apart():
    labels = label_objects(discs(16), None, 0.5, OBJECTS)
    assert labels.max() == 2
    assert labels[20, 20] != labels[20, 46]
    np.testing.assert_array_equal(labels > 0, discs(16) > 0.5)


@pytest.mark.parametrize("distance", [0, 2, 5])
def test_without_cores_a_rough_outline_does_not_split_an_object(distance: float):
    assert label_objects(discs(distance), None, 0.5, OBJECTS).max() == 1


def test_without_cores_a_rectangle_is_one_object(touching):
    assert label_objects(touching[0], None, 0.5, OBJECTS).max() == 2


def test_a_frame_that_is_all_foreground_is_one_object():
    assert label_objects(np.ones((9, 9), np.float32), None, 0.5, OBJECTS).max() == 1


@pytest.mark.parametrize("with_core", [True, False])
def test_the_objects_of_a_part_do_not_depend_on_what_lies_elsewhere(with_core: bool):
    blurred = discs(16) * np.float32(0.8)
    alone = label_objects(blurred, blurred if with_core else None, 0.5, OBJECTS)
    above = np.concatenate([np.tile(discs(14)[:30] * np.float32(0.8), (3, 1)), blurred])
    together = label_objects(above, above if with_core else None, 0.5, OBJECTS)[90:]
    np.testing.assert_array_equal(np.where(together > 0, together - together[together > 0].min() + 1, 0), alone)


def test_corners_do_not_connect():
    assert label_objects(np.eye(4, dtype=np.float32), None, 0.5, Objects(0.5, 0)).max() == 4


def test_small_objects_are_dropped_and_the_numbers_closed_up(touching):
    touching[0][0, 0:3] = 0.9
    labels = label_objects(*touching, 0.5, OBJECTS)
    assert (labels[0, 0:3] == 0).all()
    assert sorted(np.unique(labels)) == [0, 1, 2, 3]


def test_a_core_outside_the_mask_makes_no_object(touching):
    assert label_objects(np.zeros_like(touching[0]), touching[1], 0.5, OBJECTS).max() == 0


def test_a_single_pixel_frame_works():
    one = np.ones((1, 1), np.float32)
    np.testing.assert_array_equal(label_objects(one, one, 0.5, Objects(0.5, 0)), [[1]])


def test_maps_of_different_frames_are_refused(touching):
    with pytest.raises(InputError, match=r"\(20, 30\) and core \(30, 20\)"):
        label_objects(touching[0], touching[1].T, 0.5, OBJECTS)


SUMMITS = Objects(core_threshold=0.5, min_area=4, core_prominence=0.2, core_smoothing=1.0)


def cones(distance: float, height: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Two discs as in `discs`, and a core that rises from 0 at their rims to `height` in their middles."""
    rows, cols = np.mgrid[:40, :70]
    near = [np.hypot(rows - 20, cols - 25 - shift) for shift in (0, distance)]
    return discs(distance), (height * (1 - np.minimum(*near) / 10)).clip(0).astype(np.float32)


@pytest.mark.parametrize("height", [1.0, 0.5])
def test_summits_tell_objects_apart_however_high_they_are(height: float):
    assert label_objects(*cones(14, height), 0.5, SUMMITS).max() == 2


@pytest.mark.parametrize("distance", [0, 2])
def test_a_summit_that_hardly_rises_is_none_of_its_own(distance: float):
    assert label_objects(*cones(distance), 0.5, SUMMITS).max() == 1


def test_smoothing_keeps_noise_from_making_summits():
    mask, core = cones(0)
    noisy = (core + np.random.default_rng(3).uniform(-0.25, 0.25, core.shape)).clip(0, 1).astype(np.float32)
    assert label_objects(mask, noisy, 0.5, Objects(0.5, 4, core_prominence=0.2)).max() > 1
    assert label_objects(mask, noisy, 0.5, Objects(0.5, 4, core_prominence=0.2, core_smoothing=2.0)).max() == 1


def test_a_summit_counts_from_its_prominence_on():
    """The pass is 0.5 lower than the lower one of two summits."""
    probability = np.ones((1, 9), np.float32)
    core = np.array([[0.2, 0.6, 1.0, 0.6, 0.3, 0.6, 0.8, 0.6, 0.2]], np.float32)
    counts = [label_objects(probability, core, 0.5, Objects(0.5, 0, p)).max() for p in (0.45, 0.49, 0.51, 0.6)]
    assert counts == [2, 2, 1, 1]


def test_smoothing_moves_nothing_over_the_borders_of_a_part():
    probability = np.zeros((20, 30), np.float32)
    probability[2:18, 2:14] = probability[2:18, 15:28] = 1
    core = np.random.default_rng(0).random(probability.shape, np.float32)
    beside = core.copy()
    beside[:, 14:] = 1
    rule = Objects(0.5, 0, core_prominence=0.05, core_smoothing=1.0)
    one, other = (label_objects(probability, map_, 0.5, rule)[:, :14] for map_ in (core, beside))
    assert one.max() > 1
    np.testing.assert_array_equal(one > 0, other > 0)
    assert len(np.unique(np.stack([one, other])[:, one > 0], axis=1).T) == len(np.unique(one)) - 1


def test_a_part_without_a_summit_is_one_object():
    flat = np.full((20, 20), 0.01, np.float32)
    assert label_objects(np.ones_like(flat), flat, 0.5, SUMMITS).max() == 1
