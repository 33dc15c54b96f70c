"""Segmenter: frames of any size through a real model, refused frames, threads, and the end of its life."""

from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime import EdgescopeError, InputError, Segmentation, Segmenter
from runtime.artifact.manifest import Objects, TensorSpec
from runtime.artifact.probes import ProbeSet
from runtime.frames.tiling import segment_tiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Made

TILE = (32, 48)


@pytest.fixture
def segment(artifact_path: Path) -> Iterator[Segmenter]:
    with Segmenter.open(artifact_path, threads=1) as segmenter:
        yield segmenter


def spots(shape: tuple[int, int] = (100, 90)) -> np.ndarray:
    """A dim, noisy background and two bright squares."""
    frame = np.random.default_rng(0).integers(100, 200, shape).astype(np.uint16)
    frame[20:40, 20:40] += 4000
    frame[60:70, 50:80] += 4000
    return frame


def test_bright_squares_are_found(segment: Segmenter):
    result = segment(spots(), pixel_size_um=0.4)
    assert result.probability.shape == result.mask.shape == (100, 90)
    assert result.probability.dtype == np.float32
    assert result.core is not None
    assert result.mask.dtype == bool
    assert result.mask[25:35, 25:35].all()
    assert not result.mask[:15].any()
    assert result.labels().max() == 2
    assert result.labels().dtype == np.int32
    assert result.labels() is result.labels()  # computed once
    assert (result.threshold, result.pixel_size_um) == (0.5, 0.4)


def test_threshold_and_smallest_area_may_be_chosen(artifact_path: Path):
    with Segmenter.open(artifact_path, threads=1, min_area=500) as segmenter:
        usual = segmenter(spots(), min_area=0)
        assert int(segmenter(spots()).labels().max()) == 0  # the squares have 400 and 300 pixels
        assert int(usual.labels().max()) == 2
        chosen = segmenter(spots(), threshold=0.999)
    assert chosen.threshold == 0.999
    assert chosen.rule.min_area == 500
    assert chosen.mask.sum() <= usual.mask.sum()
    with pytest.raises(InputError, match="threshold is 2"):
        Segmenter.open(artifact_path, threshold=2)


def test_probabilities_are_those_of_the_frame_path(segment: Segmenter):
    how = segment.manifest.normalization
    expected = segment_tiles(spots(), how, TILE, 8, 2, segment.run_tile)
    result = segment(spots())
    np.testing.assert_array_equal(result.probability, expected[0])
    np.testing.assert_array_equal(result.core, expected[1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (31, 47), (32, 48), (33, 49), (200, 3)])
def test_any_size_works(segment: Segmenter, shape: tuple[int, int]):
    frame = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert segment(frame).mask.shape == shape


def test_a_dark_frame_holds_nothing(segment: Segmenter):
    assert not segment(np.zeros((60, 60), np.uint16)).mask.any()


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((60, 60, 3), np.uint8),
        np.full((60, 60), np.nan, np.float32),
        np.zeros((0, 60), np.uint8),
        np.zeros((60, 60), np.float64),
        np.zeros((60, 60), bool),
        [[1, 2], [3, 4]],
    ],
    ids=["rgb", "nan", "empty", "float64", "bool", "list"],
)
def test_what_is_no_frame_is_refused(segment: Segmenter, frame: np.ndarray):
    with pytest.raises(InputError):
        segment(frame)


@pytest.mark.parametrize("pixel_size_um", [0, -1, float("nan"), float("inf")])
def test_a_pixel_size_that_is_none_is_refused(segment: Segmenter, pixel_size_um: float):
    with pytest.raises(InputError, match="pixel size"):
        segment(spots(), pixel_size_um)


def test_a_pixel_size_far_from_the_students_is_warned_of(segment: Segmenter, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        segment(spots(), 0.6)
        assert not caplog.records
        segment(spots(), 5.0)
        segment(spots(), 5.0)
    (record,) = caplog.records  # and not one for each frame of an acquisition
    assert "made for 0.5 um" in record.getMessage()


def test_a_result_is_its_own(segment: Segmenter):
    first = segment(spots())
    kept = first.probability.copy()
    segment(np.zeros((100, 90), np.uint16))
    np.testing.assert_array_equal(first.probability, kept)


def test_threads_share_a_segmenter(segment: Segmenter):
    frames = [np.roll(spots(), 7 * i, axis=0) for i in range(8)]
    expected = [segment(frame).probability for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda frame: segment(frame).probability, frames))
    np.testing.assert_array_equal(results, expected)


def test_after_closing_it_says_so(artifact_path: Path):
    segment = Segmenter.open(artifact_path)
    segment.close()
    segment.close()
    with pytest.raises(EdgescopeError, match=r"closed; open it again"):
        segment(spots())


def test_it_describes_what_runs_it(segment: Segmenter):
    assert segment.backend == "onnxruntime"
    assert segment.description["threads"] == "1"
    assert segment.manifest.student == "tiny"


@pytest.mark.parametrize("threads", [0, -2])
def test_threads_must_be_at_least_one(artifact_path: Path, threads: int):
    with pytest.raises(InputError, match=f"Threads is {threads}"):
        Segmenter.open(artifact_path, threads=threads)


def test_a_tile_of_another_shape_is_refused(segment: Segmenter):
    with pytest.raises(InputError, match=r"\(1, 1, 32, 48\), not float32 \(1, 1, 8, 8\)"):
        segment.run_tile(np.zeros((1, 1, 8, 8), np.float32))


def test_a_student_without_cores_gives_none(made: Made, tmp_path: Path):
    outputs = (TensorSpec("output", (1, 2, *TILE), "float32", "NCHW", ("background", "foreground")),)
    path = replace(made, manifest=replace(made.manifest, outputs=outputs)).write(tmp_path / "a")
    with Segmenter.open(path) as segment, Segmenter.open(made.write(tmp_path / "b")) as with_core:
        result = segment(spots())
        assert result.core is None
        np.testing.assert_array_equal(result.probability, with_core(spots()).core)  # channels go by their names


def test_a_segmentation_can_be_made_by_hand():
    probability = np.array([[0.5, 0.6]], np.float32)
    result = Segmentation(probability, None, 0.5, Objects(0.5, 0))
    np.testing.assert_array_equal(result.mask, [[False, True]])  # over, not at the threshold
    np.testing.assert_array_equal(result.labels(), [[0, 1]])


MEASURE = """
import resource, sys
import numpy as np
from runtime.artifact.manifest import Normalization
from runtime.frames.tiling import segment_tiles

frame = np.random.default_rng(0).integers(0, 65535, (4096, 4096), dtype=np.uint16)
frame = frame.astype(sys.argv[1], copy=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = segment_tiles(frame, Normalization(), (256, 256), 32, 1, lambda tile: tile)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((peak - before) / 1024, result.nbytes / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB there")
@pytest.mark.parametrize(("dtype", "temporary_mb"), [("uint16", 40), ("float32", 110)])
def test_a_frame_of_4096_pixels_is_segmented_in_bounded_memory(dtype: str, temporary_mb: float):
    done = subprocess.run([sys.executable, "-c", MEASURE, dtype], check=True, capture_output=True, text=True)
    grown_mb, result_mb = map(float, done.stdout.split())
    assert result_mb == 64
    assert grown_mb < result_mb + temporary_mb  # float32 percentiles need one copy of the frame


# The probe at open


@pytest.fixture
def foreign_path(made: Made, probes: ProbeSet, tmp_path: Path) -> Path:
    """An artefact with the model of another student: all sums are right, and its probes are not those of its model."""
    others = ProbeSet(probes.inputs, 1 - probes.outputs)
    return replace(made, files={**made.files, "probes.npz": others.to_bytes()}).write(tmp_path / "foreign")


def test_a_model_that_is_not_that_of_its_probes_is_refused_at_open(foreign_path: Path):
    with pytest.raises(EdgescopeError, match=r"does not reproduce its probe here: max \|dp\| is 0\.\d+, due at"):
        Segmenter.open(foreign_path)


def test_the_probe_can_be_switched_off_and_that_is_recorded(foreign_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Segmenter.open(foreign_path, probe=False) as segmenter:
        assert segmenter.description["probe"] == "off"
    monkeypatch.setenv("EDGESCOPE_PROBE", "off")
    with Segmenter.open(foreign_path) as segmenter:
        assert segmenter.description["probe"] == "off"


def test_what_the_probe_showed_is_in_the_description(segment: Segmenter):
    assert segment.description["probe"].startswith("reproduced: max |dp| 0.000")


def test_probes_of_another_tile_than_the_models_are_refused_at_open(made: Made, tmp_path: Path):
    tile = (16, 16)
    wrong = replace(
        made.manifest,
        tile=tile,
        inputs=(replace(made.manifest.inputs[0], shape=(1, 1, *tile)),),
        outputs=(replace(made.manifest.outputs[0], shape=(1, 2, *tile)),),
    )
    path = replace(made, manifest=wrong).write(tmp_path / "wrong")
    with pytest.raises(InputError, match=r"the probes have shape \(3, 2, 32, 48\), the manifest says \(3, 2, 16, 16\)"):
        Segmenter.open(path)
