"""Several sources at several scales: what is compared with what, what is left out, and the baseline."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from compile import compile_student
from distill import datasets
from distill.evaluation import suite
from distill.evaluation.suite import SuiteRow, counts_by_size, evaluate_suite, otsu_watershed, resized_pair
from runtime.artifact.manifest import ObjectSize
from runtime.errors import InputError
from runtime.frames.scale import median_diameter


def discs(diameter: float, shape: tuple[int, int] = (96, 96), step: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A uint16 image of bright discs on a grid, and its labels."""
    y, x = np.indices(shape)
    inside = np.hypot(y % step - step / 2, x % step - step / 2) <= diameter / 2
    labels = ndimage.label(inside)[0].astype(np.int32)
    noise = np.random.default_rng(0).normal(200, 10, shape)
    return (noise + 1000 * inside).astype(np.uint16), labels


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder of two sources: large discs (two images) and small ones (one image), and a folder that is no source."""
    for source, sizes in (("large", (20, 24)), ("small", (12,))):
        for number, size in enumerate(sizes):
            for kind, image in zip(("images", "labels"), discs(size), strict=True):
                (tmp_path / source / kind).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(tmp_path / source / kind / f"s{number}.tif", image)
    (tmp_path / "notes").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def sized(student):
    """A student that says which size of object it was made for."""
    return replace(student, spec=replace(student.spec, object_diameter=ObjectSize(16.0, 12.0, 20.0)))


def student_rows(result: dict) -> list[dict]:
    return [row for row in result["rows"] if row["method"] == "tiny"]


def test_every_source_and_scale_has_a_row_with_the_diameter_and_one_without(sized, sources: Path):
    result = evaluate_suite(sized, sources, scales=(1.0, 2.0))
    rows = [(row["source"], row["scale"], row["diameter"], row["images"]) for row in student_rows(result)]
    assert rows == [
        (source, scale, diameter, images)
        for source, images in (("large", 2), ("small", 1))
        for scale in (1.0, 2.0)
        for diameter in ("given", "auto")
    ]
    assert result["weights_sha256"] == sized.lineage.weights_sha256


def test_the_diameter_that_is_given_is_the_labelled_one_at_that_scale(sized, sources: Path):
    result = evaluate_suite(sized, sources, scales=(2.0,))
    given = [row for row in student_rows(result) if row["diameter"] == "given"]
    assert [row["seen_px"] for row in given] == [row["labelled_px"] for row in given]
    assert [row["labelled_px"] for row in given] == pytest.approx([44, 24], rel=0.05)


def test_an_image_is_not_shrunk_until_its_objects_are_too_small(sized, sources: Path):
    result = evaluate_suite(sized, sources, scales=(0.5, 1.0))
    assert [row["source"] for row in student_rows(result) if row["scale"] == 0.5] == ["large", "large"]
    assert result["left_out"] == ["small at scale 0.5: 1 of 1 images, their objects would be under 8 px"]


def test_a_student_of_any_size_has_one_row(student, sources: Path):
    result = evaluate_suite(student, sources, scales=(1.0,))
    assert [(row["source"], row["diameter"]) for row in student_rows(result)] == [("large", "off"), ("small", "off")]


def test_more_data_are_sources_too(student, sources: Path):
    result = evaluate_suite(student, sources, ["synthetic:2@9?size=64"], scales=(1.0,))
    assert {row["source"]: row["images"] for row in result["rows"]} == {"large": 2, "small": 1, "synthetic 2@9": 2}


def test_images_seen_in_training_are_left_out(student, sources: Path):
    seen = tuple(datasets.fingerprint(sample) for sample in datasets.open(f"folder:{sources / 'large'}"))
    trained = replace(student, lineage=replace(student.lineage, trained_on=seen))
    result = evaluate_suite(trained, sources, scales=(1.0,))
    assert {row["source"] for row in result["rows"]} == {"small"}
    assert result["left_out"] == ["large: 2 images were seen in training"]
    everything = evaluate_suite(trained, sources, scales=(1.0,), include_trained=True)
    assert {row["source"] for row in everything["rows"]} == {"large", "small"}


def test_a_folder_without_sources_is_refused(student, tmp_path: Path):
    with pytest.raises(InputError, match="holds images/ and labels/"):
        evaluate_suite(student, tmp_path)
    with pytest.raises(InputError, match="There is no folder"):
        evaluate_suite(student, tmp_path / "none")


@pytest.mark.parametrize("scale", [0.0, -1.0, 17.0, float("nan")])
def test_a_scale_out_of_range_is_refused(student, sources: Path, scale: float):
    with pytest.raises(InputError, match="Scale"):
        evaluate_suite(student, sources, scales=(scale,))


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.3])
def test_labels_stay_on_their_objects(scale: float):
    image, labels = discs(20)
    resized, nearest = resized_pair(image, labels, scale)
    assert resized.shape == nearest.shape == (round(96 * scale),) * 2
    assert (resized.dtype, nearest.dtype) == (np.uint16, np.int32)
    assert set(np.unique(nearest)) == set(np.unique(labels))
    bright = resized > 700
    assert np.mean(bright == (nearest > 0)) > 0.97
    before, after = (median_diameter(np.bincount(one.ravel())[1:]) for one in (labels, nearest))
    assert after == pytest.approx(before * scale, rel=0.05)


def test_an_image_at_scale_1_is_not_touched():
    image, labels = discs(20)
    assert resized_pair(image, labels, 1.0) == (image, labels)


def test_several_planes_are_resized_one_by_one():
    image, labels = discs(20)
    both, _ = resized_pair(np.stack([image, image[::-1]]), labels, 0.5)
    np.testing.assert_array_equal(both[0], resized_pair(image, labels, 0.5)[0])
    np.testing.assert_array_equal(both[1], resized_pair(image[::-1], labels, 0.5)[0])


def test_the_baseline_separates_discs_that_touch():
    y, x = np.indices((64, 96))
    one, other = (np.hypot(y - 32, x - column) <= 15 for column in (32, 58))
    labels = otsu_watershed((1000 * (one | other) + 100).astype(np.uint16))
    assert labels.max() == 2
    assert len(np.unique(labels[one & ~other])) == 1 or np.mean(labels[one] == labels[32, 32]) > 0.9
    assert labels[32, 25] != labels[32, 65]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_baseline_has_no_objects_in_a_constant_frame(dtype):
    assert not otsu_watershed(np.full((20, 30), 7, dtype)).any()


def test_objects_are_counted_by_their_size():
    truth = np.zeros((200, 200), np.int32)
    truth[0:5, 0:5], truth[20:40, 20:40], truth[60:160, 60:160] = 1, 2, 3  # 6, 23 and 113 px
    labels = np.where(truth == 3, 9, 0)
    labels[20:30, 20:30], labels[180:184, 0:4] = 4, 5  # a quarter of object 2 (11 px), and 5 px of nothing
    assert counts_by_size(truth, labels).tolist() == [[0, 2, 1], [0, 0, 1], [1, 0, 0]]


def test_images_that_lose_are_counted_with_and_without_a_flag():
    _, labels = discs(20)
    original, resized = (SuiteRow("s", "m", scale, "auto") for scale in (1.0, 2.0))
    for name, found, flags in (
        ("kept", labels, ()),
        ("lost", labels * 0, ()),
        ("flagged", labels * 0, ("object_size",)),
    ):
        original.add(name, labels, labels)
        resized.add(name, labels, found)
        resized.flags.append(flags)
    resized.compare(original)
    assert (resized.lost, resized.unflagged) == (2, 1)
    assert resized.to_dict()["worst"] == {"name": "lost", "ap50": 0.0}


def test_the_result_says_what_the_baseline_scores(student, sources: Path):
    result = evaluate_suite(student, sources, scales=(1.0,))
    baseline = [row for row in result["rows"] if row["method"] == suite.BASELINE]
    assert [(row["source"], row["diameter"]) for row in baseline] == [
        (source, diameter) for source in ("large", "small") for diameter in ("given", "auto")
    ]
    assert min(row["scores"]["ap50"]["pooled"] for row in baseline) > 0.9


def test_an_artefact_is_scored_by_its_backend(sized, sources: Path, tmp_path: Path):
    (artefact,) = compile_student(sized, "intel", "fp32", out=tmp_path / "out").artifacts
    result = evaluate_suite(artefact.path, sources, scales=(1.0,))
    assert result["precision"] == "fp32, compiled for intel, run by openvino"
    assert result["weights_sha256"] == sized.lineage.weights_sha256
    in_torch = evaluate_suite(sized, sources, scales=(1.0,))
    assert len(student_rows(result)) == 4
    for compiled, torch in zip(student_rows(result), student_rows(in_torch), strict=True):
        assert (compiled["source"], compiled["diameter"]) == (torch["source"], torch["diameter"])
        assert compiled["scores"]["dice"]["mean"] == pytest.approx(torch["scores"]["dice"]["mean"], abs=0.01)
