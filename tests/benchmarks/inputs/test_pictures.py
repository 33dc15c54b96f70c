"""What is drawn, on images small enough to check by eye."""

import numpy as np
import pytest

from benchmarks.inputs.pictures import BLUE, ORANGE, outlines, overlay
from benchmarks.inputs.source import FieldOfView

LABELS = np.zeros((8, 12), np.int32)
LABELS[2:6, 2:6] = 1
LABELS[2:6, 6:10] = 2


def test_outlines_part_touching_objects_and_leave_the_inside_free():
    drawn = outlines(LABELS)
    assert drawn[3:5, 5:7].all()
    assert not drawn[3:5, 3:5].any()
    assert not drawn[LABELS == 0].any()


def test_an_object_at_the_border_of_the_image_is_open_there():
    labels = np.zeros((6, 6), np.int32)
    labels[:3] = 1
    assert not outlines(labels)[0].any()
    assert outlines(labels)[2].all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (8, 12), (600, 520)])
def test_any_frame_can_be_drawn(dtype: type, shape: tuple[int, int]):
    frame = np.arange(shape[0] * shape[1]).reshape(shape).astype(dtype)
    picture = overlay(FieldOfView("a", frame, None), np.zeros(shape, np.int32))
    factor = 1 if min(shape) >= 512 else 2
    assert picture.size == (shape[1] * factor, shape[0] * factor)


def test_what_was_found_is_drawn_over_what_is_true():
    frame = np.zeros(LABELS.shape, np.uint8)
    colours = {
        tuple(c) for c in np.asarray(overlay(FieldOfView("a", frame, LABELS), LABELS // 2)).reshape(-1, 3).tolist()
    }
    assert {ORANGE, BLUE} <= colours
