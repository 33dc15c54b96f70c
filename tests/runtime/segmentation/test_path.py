"""Frames are segmented at the student's size of object, and the result is on the frame's own grid."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pytest import approx

from runtime import Execution, InputError, Scale, Segmenter, open_artifact
from runtime import backend as backends
from runtime.artifact.manifest import Accuracy, ObjectSize
from runtime.frames.resize import resize
from runtime.objects.instances import scaled_rule
from runtime.segmentation.path import FramePath

if TYPE_CHECKING:
    from pathlib import Path

    from runtime import Diameter
    from runtime.backend import Session

MADE_FOR = 0.5  # um, of the tiny student
SIZE = ObjectSize(14.0, 10.0, 20.0)


def squares(zoom: int, dtype=np.uint16) -> np.ndarray:
    """Nine squares of 12 pixels, about 13.5 as discs."""
    frame = np.full((96, 96), 100, dtype)
    for row in range(3):
        for col in range(3):
            frame[10 + 30 * row : 22 + 30 * row, 10 + 30 * col : 22 + 30 * col] = 4000
    return np.kron(frame, np.ones((zoom, zoom), dtype))


class Counting:
    """A session that counts its runs."""

    def __init__(self, session: Session) -> None:
        self.session, self.description, self.runs = session, session.description, 0

    def run(self, tile: np.ndarray) -> np.ndarray:
        self.runs += 1
        return self.session.run(tile)

    def close(self) -> None:
        self.session.close()


def sized(path: Path, diameter: Diameter | None = None) -> tuple[Segmenter, Counting]:
    """The tiny student as one that says for which size of object it was made."""
    artifact = open_artifact(path)
    name, session = backends.open_session(artifact, Execution())
    counting = Counting(session)
    manifest = replace(artifact.manifest, object_diameter=SIZE, pixel_size_um=None)
    return Segmenter(manifest, name, counting, diameter=diameter), counting


def test_small_pixels_are_segmented_as_the_students(artifact_path: Path, caplog: pytest.LogCaptureFixture):
    with Segmenter.open(artifact_path) as segment, caplog.at_level(logging.WARNING):
        whole = segment(squares(1), MADE_FOR)
        fine = segment(squares(4), MADE_FOR / 4)
    assert not caplog.records
    assert (whole.flags, fine.flags) == ((), ("resized",))
    assert fine.scale == Scale(0.25, None, "pixel_size")
    assert fine.probability.shape == fine.core.shape == (384, 384)
    assert fine.probability.dtype == np.float32
    assert fine.pixel_size_um == MADE_FOR / 4
    np.testing.assert_allclose(fine.probability, resize(whole.probability, (384, 384)), atol=1e-6)


def test_large_pixels_come_back_on_their_own_grid(artifact_path: Path):
    with Segmenter.open(artifact_path) as segment:
        result = segment(squares(1), 2 * MADE_FOR)
    assert result.scale.factor == 2
    assert result.mask.shape == (96, 96)
    assert result.mask[12:20, 12:20].all()
    assert not result.mask[25:37].any()
    assert result.labels().max() == 9


def test_a_pixel_size_far_off_is_flagged_where_it_is_not_used(artifact_path: Path, caplog: pytest.LogCaptureFixture):
    with Segmenter.open(artifact_path, diameter="off") as segment, caplog.at_level(logging.WARNING):
        assert segment(squares(1), 3 * MADE_FOR).flags == ("pixel_size",)
        assert segment(squares(1), 3 * MADE_FOR).flags == ("pixel_size",)
        assert segment(squares(1), 1.5 * MADE_FOR).flags == ()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("zoom", [1, 2, 4, 6])
def test_the_size_of_objects_is_seen(artifact_path: Path, zoom: int):
    with sized(artifact_path)[0] as segment:
        result = segment(squares(zoom))
    assert result.scale.source == "seen"
    assert result.scale.diameter_px == approx(13.5 * zoom, rel=0.25)  # windows of 32 x 48 cut some
    assert result.labels().max() == 9
    assert [row.area for row in result.objects()] == approx([144 * zoom**2] * 9, rel=0.15)
    assert ("resized" in result.flags) == (zoom > 1)


def test_a_given_diameter_is_used_per_frame_and_of_open(artifact_path: Path):
    with sized(artifact_path, 56)[0] as opened:
        assert opened(squares(4)).scale == Scale(approx(0.25), 56, "given")
        assert opened(squares(4), diameter=28).scale == Scale(approx(0.5), 28, "given")
        assert opened(squares(4), 0.1, diameter="5.6um").scale == Scale(approx(0.25), approx(56), "given")
        assert opened(squares(4), diameter="off").scale.factor == 1
        with pytest.raises(InputError, match="pixel size of the frame is not known"):
            opened(squares(4), diameter="5.6um")


def test_the_scale_of_another_frame_is_used_without_looking(artifact_path: Path):
    segment, counting = sized(artifact_path)
    with segment:
        first = segment(squares(4))
        looking, counting.runs = counting.runs, 0
        again = segment(squares(4), scale=first.scale)
    assert counting.runs < looking
    assert again.scale == first.scale
    np.testing.assert_array_equal(again.probability, first.probability)


def test_an_empty_frame_is_no_reason_to_warn(artifact_path: Path):
    with sized(artifact_path)[0] as segment:
        result = segment(np.random.default_rng(0).integers(90, 110, (64, 64)).astype(np.uint16))
    assert result.scale.source in ("unseen", "seen")
    empty = np.full((64, 64), 100, np.uint16)
    with sized(artifact_path)[0] as segment:
        result = segment(empty)
    assert result.scale == Scale(1.0, None, "unseen")
    assert "scale_unseen" not in result.flags


def test_objects_of_another_size_are_flagged_once_they_are_made(artifact_path: Path):
    with sized(artifact_path, "off")[0] as segment:
        result = segment(squares(4))
    assert "object_size" not in result.flags
    result.labels()
    assert "object_size" in result.flags


def test_the_rule_is_scaled_with_the_frame(manifest):
    rule = replace(manifest.objects, min_area=30, core_smoothing=1.6)
    assert scaled_rule(rule, 1.0) == rule
    assert scaled_rule(rule, 0.5) == replace(rule, min_area=120)
    assert scaled_rule(rule, 2.0) == replace(rule, min_area=8, core_smoothing=0.8)


def test_maps_are_written_where_they_are_asked_for(artifact_path: Path):
    out = np.full((2, 384, 384), np.nan, np.float32)
    with sized(artifact_path)[0] as segment:
        result = segment(squares(4), out=out)
    assert np.shares_memory(result.probability, out)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("labels", ["nuclei", "cells"])
def test_the_manifest_says_whether_touching_objects_are_odd(artifact_path: Path, labels: str):
    with Segmenter.open(artifact_path) as opened:
        manifest = opened.manifest
        accuracy = Accuracy("made up", labels, 1, {}, {}, 0.0, None, None, "")
        whole = FramePath.of(replace(manifest, accuracy=accuracy), opened.run_tile)
        assert whole(squares(1)).finds_cells == (labels == "cells")
        assert not FramePath.of(replace(manifest, accuracy=None), opened.run_tile)(squares(1)).finds_cells
