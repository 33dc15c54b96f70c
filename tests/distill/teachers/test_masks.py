"""Saved masks as a teacher: which file belongs to a sample, and what its values mean."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill import datasets
from distill.config.sections import TeacherSection
from distill.datasets import Sample
from distill.teachers import Untaught, open_teacher
from runtime.errors import InputError

tifffile = pytest.importorskip("tifffile")
LABELS = np.zeros((12, 16), np.uint16)
LABELS[2:6, 2:7], LABELS[6:10, 9:14] = 7, 300


def sample(name: str, shape: tuple[int, int] = (12, 16)) -> Sample:
    return Sample(name, np.zeros((1, *shape), np.uint16), ("nucleus",), {"cells": np.ones(shape, np.int32)})


def says(weights: str | Path, one: Sample, **settings) -> np.ndarray:
    teacher = open_teacher(TeacherSection(name="masks", weights=str(weights), options=settings))
    return teacher.probability(one.image[:0], teacher.reference(one))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "bool"])
def test_what_is_no_background_is_foreground(tmp_path: Path, dtype: str):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(dtype))
    assert np.array_equal(says(tmp_path, sample("a")), LABELS > 0)


def test_a_mask_may_be_a_png(tmp_path: Path):
    Image.fromarray((LABELS > 0).astype(np.uint8) * 255).save(tmp_path / "a.png")
    assert np.array_equal(says(tmp_path, sample("a")), LABELS > 0)


def test_float_values_are_probabilities(tmp_path: Path):
    probability = np.random.default_rng(0).random((12, 16), np.float32)
    tifffile.imwrite(tmp_path / "a.tif", probability)
    assert np.array_equal(says(tmp_path, sample("a")), probability)


@pytest.mark.parametrize(("dtype", "one"), [("uint8", 255), ("uint16", 65535)])
def test_whole_numbers_are_probabilities_when_it_is_said(tmp_path: Path, dtype: str, one: int):
    plane = np.linspace(0, one, 12 * 16).astype(dtype).reshape(12, 16)
    tifffile.imwrite(tmp_path / "a.tif", plane)
    assert np.allclose(says(f"probability:{tmp_path}", sample("a")), plane / one)


def test_eight_bits_that_may_be_either_are_refused_with_the_way_to_say_it(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.arange(256, dtype=np.uint8).reshape(16, 16))
    with pytest.raises(InputError, match=r"labels or probabilities\? Write weights = \"probability:PATH\""):
        says(tmp_path, sample("a", (16, 16)))


def test_softening_blurs_the_outline_alone(tmp_path: Path):
    wide = np.zeros((40, 40), np.uint16)
    wide[10:30, 10:30] = 1
    tifffile.imwrite(tmp_path / "a.tif", wide)
    soft = says(tmp_path, sample("a", (40, 40)), soften=1.0)
    assert soft.dtype == np.float32
    assert soft[20, 20] == pytest.approx(1, abs=1e-5)
    assert 0.5 < soft[10, 20] < 1
    assert 0 < soft[9, 20] < 0.5
    assert soft[9, 20] + soft[10, 20] == pytest.approx(1, abs=1e-5)


def test_the_datas_own_labels_teach():
    (one,) = datasets.open("synthetic:1@2?size=48")
    assert np.array_equal(says("labels:nuclei", one), one.labels["nuclei"] > 0)


def test_labels_that_the_data_lack_are_named():
    with pytest.raises(InputError, match=r"no labels 'nuclei', it has cells; choose among these in teacher"):
        says("labels:nuclei", sample("a"))


@pytest.mark.parametrize("name", ["Point8@y4x0", "Point8@y0x6", "Point8@y6x8"])
def test_a_tile_finds_its_place_in_the_field(tmp_path: Path, name: str):
    tifffile.imwrite(tmp_path / "Point8.tif", LABELS)
    row, col = map(int, name.partition("@y")[2].split("x"))
    expected = LABELS[row : row + 6, col : col + 8] > 0
    assert np.array_equal(says(tmp_path, sample(name, (6, 8))), expected)
    assert np.array_equal(says(tmp_path / "Point8.tif", sample(name, (6, 8))), expected)


def test_the_tiles_of_the_multiplex_reader_find_theirs(tmp_path: Path):
    field = tmp_path / "fields" / "F1"
    field.mkdir(parents=True)
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 9, (90, 150)).astype(np.uint16)
    for name in ("nucleus", "membrane"):
        tifffile.imwrite(field / f"{name}.tif", rng.integers(0, 99, (90, 150), np.uint16))
    tifffile.imwrite(field / "cells.tif", cells)
    tifffile.imwrite(tmp_path / "saved.tif", cells)
    tiles = datasets.open(f"multiplex:{tmp_path / 'fields'}?tile=40", "all")
    assert len(tiles) > 4
    for tile in tiles:
        assert np.array_equal(says(tmp_path / "saved.tif", tile), tile.labels["cells"] > 0)


def test_a_file_of_its_own_comes_before_the_fields(tmp_path: Path):
    tifffile.imwrite(tmp_path / "F.tif", LABELS)
    tifffile.imwrite(tmp_path / "F@y0x0.tif", np.ones((6, 8), np.uint16))
    assert says(tmp_path, sample("F@y0x0", (6, 8))).all()


def test_one_file_does_not_teach_two_fields(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    teacher = open_teacher(TeacherSection(name="masks", weights=str(tmp_path / "a.tif")))
    teacher.reference(sample("a"))
    with pytest.raises(InputError, match="the data hold a and b; name a folder"):
        teacher.reference(sample("b"))


@pytest.mark.parametrize("name", ["b", "a@y8x0", "a@y0x12"])
def test_a_sample_without_masks_of_its_size_is_named(tmp_path: Path, name: str):
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    with pytest.raises(InputError, match=name):
        says(tmp_path, sample(name, (6, 8)))


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        (np.full((12, 16), 2, np.float32), "save labels as whole numbers"),
        (np.full((12, 16), np.nan, np.float32), "probabilities from 0 to 1"),
        (np.full((12, 16), -1, np.int16), "labels begin at 0"),
        (np.zeros((2, 12, 16), np.uint16), "save one plane"),
    ],
)
def test_values_that_mean_nothing_are_refused(tmp_path: Path, plane: np.ndarray, said: str):
    tifffile.imwrite(tmp_path / "a.tif", plane)
    with pytest.raises(InputError, match=said):
        says(tmp_path, sample("a"))


@pytest.mark.parametrize("weights", ["", "labels:", "probability:", "nowhere", "empty", "twice"])
def test_masks_that_are_not_there_are_said_before_the_work(tmp_path: Path, weights: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for suffix in ("tif", "tiff"):
        tifffile.imwrite(tmp_path / "twice" / f"a.{suffix}", LABELS)
    path = str(tmp_path / weights) if weights.isalpha() else weights
    section = TeacherSection(name="masks", weights=path)
    with pytest.raises(InputError, match=r"name a folder|remove one of them|save the masks"):
        open_teacher(section)


def test_a_truncated_file_is_named(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:50])
    with pytest.raises(InputError, match=r"a\.tif"):
        says(tmp_path, sample("a"))


def test_how_masks_are_understood_is_in_the_key(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    section = TeacherSection(name="masks", weights=str(tmp_path))
    others = [
        section,
        replace(section, weights=f"probability:{tmp_path}"),
        replace(section, options={**section.options, "soften": 1.0}),
    ]
    assert len({str(open_teacher(other).key()) for other in others}) == 3


def test_the_licence_is_said_by_the_user_or_unknown(tmp_path: Path):
    section = TeacherSection(name="masks", weights="labels:cells")
    assert "unknown" in open_teacher(section).licence
    assert open_teacher(replace(section, options={**section.options, "licence": "CC-BY-4.0"})).licence == "CC-BY-4.0"


@pytest.mark.parametrize("plane", [LABELS, LABELS > 0, np.float32(LABELS > 0) / 2])
def test_a_plane_may_be_what_numpy_saved(tmp_path: Path, plane: np.ndarray):
    np.save(tmp_path / "a.npy", plane)
    assert np.array_equal(says(tmp_path, sample("a")), plane if plane.dtype == np.float32 else LABELS > 0)


@pytest.mark.parametrize("content", ["objects", "torn", "archive", "empty"])
def test_what_numpy_did_not_save_as_a_plane_is_refused(tmp_path: Path, content: str):
    file = tmp_path / "a.npy"
    np.save(file, np.array([{"masks": LABELS}], object) if content == "objects" else LABELS, allow_pickle=True)
    if content == "archive":
        np.savez(tmp_path / "b.npz", LABELS)
        (tmp_path / "b.npz").replace(file)
    elif content != "objects":
        file.write_bytes(file.read_bytes()[: 200 if content == "torn" else 0])
    with pytest.raises(InputError, match=r"a\.npy' are no whole array of numbers"):
        says(tmp_path, sample("a"))


def test_without_a_plane_there_is_nothing_to_say(tmp_path: Path):
    teacher = open_teacher(TeacherSection(name="masks", weights="labels:cells"))
    with pytest.raises(InputError, match="give the saved plane"):
        teacher.probability(np.zeros((1, 4, 4), np.uint8))


def test_an_image_without_a_mask_is_told_from_one_whose_mask_is_wrong(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    with pytest.raises(Untaught, match=r"has no masks of b \(or b\); it has 1, such as a"):
        says(tmp_path, sample("b"))
    with pytest.raises(InputError, match="give masks of the image's size") as caught:
        says(tmp_path, sample("a", (5, 6)))
    assert not isinstance(caught.value, Untaught)


def test_another_teacher_may_speak_for_images_without_a_mask(tmp_path: Path, student_folder: Path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    missing = {"name": "unet", "weights": str(student_folder)}
    section = TeacherSection(name="masks", weights=str(tmp_path), options={"missing": missing})
    teacher = open_teacher(section)
    one, other = sample("a"), sample("b")
    other.image[0, 3:9, 3:9] = 500
    alone = open_teacher(TeacherSection(**missing))
    assert teacher.channels == alone.channels == ("nucleus",)
    found = teacher.probabilities([one.image, other.image], [teacher.reference(one), teacher.reference(other)])
    np.testing.assert_array_equal(found[0], LABELS > 0)
    np.testing.assert_array_equal(found[1], alone.probability(other.image))
    assert set(alone.key().values()) < set(teacher.key().values())
    assert teacher.licence.endswith(f"; {alone.licence}")


def test_another_teacher_that_wants_labels_is_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS)
    options = {"missing": {"name": "masks", "weights": str(tmp_path)}}
    with pytest.raises(InputError, match=r"teacher\.options\.missing names 'masks', which is given labels"):
        open_teacher(TeacherSection(name="masks", weights=str(tmp_path), options=options))
