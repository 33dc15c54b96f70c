"""Objects tell by their size and their neighbours that a student saw them at the wrong size."""

from __future__ import annotations

import numpy as np

from runtime.artifact.manifest import ObjectSize
from runtime.segmentation.object_flags import object_flags, shared_outline

SIZE = ObjectSize(14.0, 10.0, 20.0)


def blocks(side: int, gap: int, count: int = 6) -> np.ndarray:
    """Squares in a grid, with gaps between them."""
    labels = np.zeros((count * (side + gap),) * 2, np.int32)
    for number, (row, col) in enumerate(np.ndindex(count, count), start=1):
        top, left = row * (side + gap), col * (side + gap)
        labels[top : top + side, left : left + side] = number
    return labels


def flags(labels: np.ndarray, factor: float = 1.0, size: ObjectSize | None = SIZE) -> tuple[str, ...]:
    return object_flags(labels, int(labels.max()), factor, size)


def test_objects_of_the_students_size_are_not_flagged():
    assert flags(blocks(12, 6)) == ()
    assert flags(blocks(48, 24), factor=0.25) == ()


def test_objects_far_from_the_students_size_are():
    assert flags(blocks(5, 3)) == ("object_size",)
    assert flags(blocks(40, 9)) == ("object_size",)
    assert flags(blocks(5, 3), size=None) == ()


def test_objects_that_are_parts_of_each_other_are_shattered():
    assert flags(blocks(12, 0)) == ("shattered",)


def test_whole_cells_that_touch_are_not_shattered():
    labels = blocks(12, 0)
    assert object_flags(labels, int(labels.max()), 1.0, SIZE, finds_cells=True) == ()


def test_of_a_few_objects_nothing_is_said():
    assert flags(blocks(5, 0, count=2)) == ()


def test_the_shared_outline_counts_both_sides():
    labels = np.zeros((6, 6), np.int32)
    labels[1:5, 1:3], labels[1:5, 3:5] = 1, 2  # 4 sides shared, 8 + 8 not, each object has 12 in all
    assert shared_outline(labels) == 2 * 4 / (2 * 12 - 4 + 4)
    assert shared_outline(np.zeros((4, 4), np.int32)) == 0
