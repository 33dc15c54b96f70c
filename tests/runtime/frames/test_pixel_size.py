"""Pixel sizes: frames with other pixels than the student's are rescaled, and come back on their own grid."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime import Segmenter
from runtime.frames.pixel_size import factor
from runtime.frames.resize import resize

if TYPE_CHECKING:
    from pathlib import Path

MADE_FOR = 0.5  # um, of the tiny student


def squares(zoom: int) -> np.ndarray:
    frame = np.full((60, 80), 100, np.uint16)
    frame[10:20, 10:30] = frame[35:50, 40:70] = 4000
    return np.kron(frame, np.ones((zoom, zoom), np.uint16))


@pytest.mark.parametrize(
    ("size", "rescale", "expected"),
    [
        (1.0, "auto", 2.0),
        (0.6, "auto", 1.0),
        (0.6, True, 1.2),
        (1.0, False, 1.0),
        (None, True, 1.0),
        (0.5, True, 1.0),
        (5.0, True, 1.0),
        (0.01, True, 1.0),
    ],
)
def test_a_frame_is_rescaled_where_both_sizes_are_known_and_apart(size, rescale, expected: float):
    assert factor(size, MADE_FOR, rescale) == pytest.approx(expected)


def test_without_the_students_size_nothing_is_rescaled():
    assert factor(1.0, None, True) == 1.0


def test_small_pixels_are_segmented_as_the_students(artifact_path: Path, caplog: pytest.LogCaptureFixture):
    with Segmenter.open(artifact_path) as segment, caplog.at_level(logging.WARNING):
        whole = segment(squares(1), MADE_FOR)
        fine = segment(squares(3), MADE_FOR / 3)
    assert not caplog.records
    assert (whole.flags, fine.flags) == ((), ("rescaled",))
    assert fine.probability.shape == fine.core.shape == (180, 240)
    assert fine.probability.dtype == np.float32
    assert fine.pixel_size_um == MADE_FOR / 3
    np.testing.assert_allclose(fine.probability, resize(whole.probability, (180, 240)), atol=1e-6)


def test_large_pixels_come_back_on_their_own_grid(artifact_path: Path):
    with Segmenter.open(artifact_path) as segment:
        result = segment(squares(1), 2 * MADE_FOR)
    assert result.mask.shape == (60, 80)
    assert result.mask[12:18, 12:28].all()
    assert not result.mask[25:33].any()


def test_without_rescaling_a_size_far_off_is_flagged(artifact_path: Path):
    with Segmenter.open(artifact_path, rescale=False) as segment:
        assert segment(squares(1), 3 * MADE_FOR).flags == ("pixel_size",)
        assert segment(squares(1), 1.5 * MADE_FOR).flags == ()
