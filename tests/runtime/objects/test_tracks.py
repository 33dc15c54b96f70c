"""Numbers that stay with objects from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest

from runtime import InputError
from runtime.objects.tracks import Tracks


def frame(*boxes: tuple[int, int], side: int = 10) -> np.ndarray:
    """Labels int32 (60, 80) of squares whose top left corners are given, numbered in this order."""
    labels = np.zeros((60, 80), np.int32)
    for number, (top, left) in enumerate(boxes, 1):
        labels[top : top + side, left : left + side] = number
    return labels


def test_objects_keep_their_numbers_while_they_move():
    tracks = Tracks(0.3)
    assert tracks.follow(frame((0, 0), (20, 20), (40, 60)), 3).tolist() == [1, 2, 3]
    assert tracks.follow(frame((43, 57), (2, 2), (20, 24)), 3).tolist() == [3, 1, 2]  # other labels, same objects


def test_a_number_is_never_given_twice():
    tracks = Tracks(0.3)
    tracks.follow(frame((0, 0), (20, 20)), 2)
    assert tracks.follow(frame((20, 20)), 1).tolist() == [2]
    assert tracks.follow(frame((20, 20), (0, 0), (40, 40)), 3).tolist() == [2, 3, 4]
    assert tracks.follow(frame(), 0).tolist() == []
    assert tracks.follow(frame((20, 20)), 1).tolist() == [5]


def test_of_two_that_overlap_one_the_better_follows_it():
    tracks = Tracks(0.1)
    tracks.follow(frame((10, 10), side=20), 1)
    halves = np.zeros((60, 80), np.int32)
    halves[10:30, 10:17], halves[10:30, 18:30] = 1, 2
    assert tracks.follow(halves, 2).tolist() == [2, 1]


@pytest.mark.parametrize(("least", "number"), [(0.5, 2), (0.3, 1)])
def test_less_overlap_than_the_least_is_none(least: float, number: int):
    tracks = Tracks(least)
    tracks.follow(frame((10, 10)), 1)
    assert tracks.follow(frame((10, 15)), 1).tolist() == [number]  # a third is shared


def test_a_frame_of_another_shape_begins_anew():
    tracks = Tracks(0.3)
    tracks.follow(frame((10, 10)), 1)
    assert tracks.follow(frame((10, 10))[:50], 1).tolist() == [2]


def test_numbers_are_those_of_a_search_through_all_pairs():
    random = np.random.default_rng(0)
    before, after = (random.integers(0, 6, (20, 20)).astype(np.int32) for _ in range(2))
    tracks = Tracks(0.05)
    tracks.follow(before, 5)
    ids = tracks.follow(after, 5).tolist()
    overlaps = sorted(
        (-np.sum((before == a) & (after == b)) / np.sum((before == a) | (after == b)), a, b)
        for a in range(1, 6)
        for b in range(1, 6)
    )
    expected: dict[int, int] = {}
    for iou, a, b in overlaps:
        if -iou >= 0.05 and b not in expected and a not in expected.values():
            expected[b] = a
    assert {b: ids[b - 1] for b in expected} == expected
    assert all(ids[b - 1] > 5 for b in range(1, 6) if b not in expected)


@pytest.mark.parametrize("least", [0, -1, 1.5, float("nan")])
def test_a_least_overlap_that_is_none_is_refused(least: float):
    with pytest.raises(InputError, match="least overlap"):
        Tracks(least)
