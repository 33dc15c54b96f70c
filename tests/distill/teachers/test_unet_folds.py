"""Several networks as one teacher: an image is taught by those that have not seen it."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from distill.config.sections import TeacherSection
from distill.datasets import frame_fingerprint
from distill.student import student as students
from distill.teachers import open_teacher
from runtime.errors import InputError

FRAMES = [np.random.default_rng(seed).integers(0, 900, (1, 64, 64)).astype(np.uint16) for seed in range(3)]


def fold(student, place: Path, seen: list[int], shift: float = 0.0, **changes) -> None:
    """A student that has seen some of FRAMES; `shift` is added to its weights, so that it has an opinion of its own."""
    place.mkdir(parents=True)
    weights = {name: weight + shift for name, weight in student.weights.items()}
    lineage = replace(
        student.lineage,
        weights_sha256=students.weights_digest(weights),
        trained_on=tuple(sorted(frame_fingerprint(FRAMES[number][0]) for number in seen)),
    )
    students.save(replace(student, weights=weights, lineage=lineage, **changes), place)


@pytest.fixture(scope="module")
def folder(student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("teacher")
    fold(student, place / "fold0", seen=[1, 2])
    fold(student, place / "fold1", seen=[0, 2], shift=0.01)
    return place


@cache
def opened(folder: Path):
    """The teacher; its networks are built once, which takes longer than asking them."""
    return open_teacher(TeacherSection(name="unet", weights=str(folder)))


@pytest.mark.parametrize(("number", "teaches"), [(0, "fold0"), (1, "fold1")])
def test_an_image_is_taught_by_the_fold_that_has_not_seen_it(folder: Path, number: int, teaches: str):
    together, alone = opened(folder), opened(folder / teaches)
    np.testing.assert_array_equal(together.probability(FRAMES[number]), alone.probability(FRAMES[number]))


def test_an_image_that_none_has_seen_is_taught_by_all(folder: Path):
    new = FRAMES[0][:, ::-1]
    said = [opened(folder / name).probability(new) for name in ("fold0", "fold1")]
    assert not np.array_equal(*said)
    np.testing.assert_allclose(opened(folder).probability(new), np.mean(said, axis=0), atol=1e-6)


def test_an_image_that_all_have_seen_is_taught_by_all(folder: Path):
    said = [opened(folder / name).probability(FRAMES[2]) for name in ("fold0", "fold1")]
    np.testing.assert_allclose(opened(folder).probability(FRAMES[2]), np.mean(said, axis=0), atol=1e-6)


def test_the_key_knows_what_each_has_seen(folder: Path, student, tmp_path: Path):
    fold(student, tmp_path / "other" / "fold0", seen=[1])
    fold(student, tmp_path / "other" / "fold1", seen=[0, 2], shift=0.01)
    one, other = opened(folder).key(), opened(tmp_path / "other").key()
    assert one["weights"] == other["weights"]
    assert one != other


def test_folds_that_see_different_channels_are_refused(student, tmp_path: Path):
    spec = replace(student.spec, channels=("nucleus", "membrane"))
    fold(student, tmp_path / "fold0", seen=[])
    fold(student, tmp_path / "fold1", seen=[], spec=spec)
    section = TeacherSection(name="unet", weights=str(tmp_path))
    with pytest.raises(InputError, match="see different channels; give the folds of one teacher"):
        open_teacher(section)
