"""Whether an artefact keeps up with a camera: from what was measured, scaled by tiles, with the assumption said."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.answers import costing, keeping_up
from benchmarks.inputs.stream import CameraStream


@pytest.fixture(scope="session")
def row(make_report):
    """Frames of 512x512 take exactly 90 ms, in 9 tiles of 256x256."""
    return make_report(noise=0.0).rows[0]


def verdict(row, camera):
    """With the tiles that were measured."""
    return keeping_up.verdict(row, camera, one_tile=False)


def test_a_slow_camera_is_kept_up_with(row):
    found = verdict(row, CameraStream.parse("512x512@11"))
    assert found.keeps_up
    assert found.frames_per_s == pytest.approx(1e3 / 90)
    assert str(found).startswith("keeps up with 512x512@11: 11.1 frames/s to objects")


def test_what_is_too_much_for_it_is_dropped(row):
    found = verdict(row, CameraStream.parse("512x512@20"))
    assert not found.keeps_up
    assert found.drops_percent == pytest.approx(100 * (1 - 1e3 / 90 / 20))
    assert str(found).startswith("drops 44.4 % of 512x512@20")


def test_another_size_is_scaled_by_tiles_and_says_so(row):
    found = verdict(row, CameraStream.parse("2048x2048@1"))
    network, rest = 0.64 * 81 / 9, 0.36 * 16  # tiles of 256 with 32 shared: 3 x 3 and 9 x 9; 16 times the pixels
    assert found.frames_per_s == pytest.approx(1e3 / 90 / (network + rest))
    assert "from 9 to 81 tiles with as many objects each" in found.assumed


def test_a_frame_as_one_tile_is_quicker_and_is_said_to_be_an_estimate(row):
    tiled, whole = (keeping_up.verdict(row, CameraStream.parse("2048x2048@1"), one_tile=one) for one in (False, True))
    assert whole.frames_per_s > tiled.frames_per_s
    assert "estimated from frames of 512x512" in whole.assumed


def test_bursts_are_said_not_to_be_sustained(row):
    assert "short runs, without throttling" in verdict(row, CameraStream(512, 512, 1.0)).assumed


def test_a_sustained_run_counts_before_bursts_with_its_slowest_stretch(make_report):
    row = make_report(noise=0.0, sustained=True).rows[0]
    found = verdict(row, CameraStream(512, 512, row.sustained.frames_per_s))
    assert found.frames_per_s == row.sustained.frames_per_s
    assert found.keeps_up
    assert found.drops_most > 0
    assert "in its slowest stretch" in str(found)
    assert "sustained over 2 min" in found.assumed


def test_what_was_not_timed_has_no_answer(row):
    assert verdict(replace(row, timing=None), CameraStream(512, 512, 1.0)) is None


@pytest.mark.parametrize("until", ["network", "mask", "labels"])
def test_frames_that_were_not_timed_until_their_objects_have_no_answer(make_report, until: str):
    row = replace(make_report(noise=0.0, sustained=True).rows[0], until=until)
    assert verdict(row, CameraStream(512, 512, 1.0)) is None


def test_the_assumed_overlap_is_that_of_compiled_artefacts():
    source = Path(keeping_up.__file__).parents[2] / "distill" / "evaluation" / "predict.py"  # which imports torch
    assigned = {
        node.targets[0].id: node.value.value
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    assert assigned["OVERLAP"] == costing.OVERLAP
