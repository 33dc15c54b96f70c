"""A student with several channels as a teacher."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from distill.config.sections import TeacherSection
from distill.int8.graph import flatten
from distill.networks.spec import StudentSpec
from distill.student import student as students
from distill.teachers import open_teacher
from runtime.artifact.manifest import Lineage
from runtime.errors import InputError

CHANNELS = ("nucleus", "membrane")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-channel student."""
    import torch

    from distill import students as families

    torch.manual_seed(0)
    spec = StudentSpec("wide", "mobilenetv3", channels=CHANNELS, decoder=(8,) * 5, tile=(64, 64))
    graph = flatten(families.load(spec.family).build(spec).eval(), spec.tile, len(CHANNELS))
    weights = students.graph_weights(graph)
    lineage = Lineage(None, students.weights_digest(weights), (), ("CC-BY-4.0", "CC0-1.0"), {}, "pytest")
    place = tmp_path_factory.mktemp("wide")
    students.save(students.Student(spec, weights, None, lineage, {}), place)
    return place


@pytest.fixture
def teacher(folder: Path):
    return open_teacher(TeacherSection(name="unet", weights=str(folder)))


def image(shape=(2, 50, 64), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


def test_it_sees_the_channels_of_its_spec(teacher):
    assert teacher.channels == CHANNELS
    probability = teacher.probability(image())
    assert probability.shape == (50, 64)
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1


def test_the_order_of_the_planes_matters(teacher):
    assert not np.allclose(teacher.probability(image()), teacher.probability(image()[::-1]))


def test_each_plane_is_scaled_on_its_own(teacher):
    scaled = image().astype(np.float32) * np.float32([[[3]], [[0.25]]]) + 100
    assert np.allclose(teacher.probability(image()), teacher.probability(scaled), atol=1e-4)


def test_several_fields_are_answered_like_one_by_one(teacher):
    fields = [image(), image((2, 64, 64), 1)]
    together = teacher.probabilities(fields, [None, None])
    assert all(np.array_equal(a, teacher.probability(b)) for a, b in zip(together, fields, strict=True))


def test_its_licence_is_that_of_its_lineage(teacher):
    assert teacher.licence == "CC-BY-4.0; CC0-1.0"


def test_the_key_holds_weights_and_preparation(folder: Path, teacher, tmp_path: Path):
    again = open_teacher(TeacherSection(name="unet", weights=str(folder), batch=3))
    assert again.key() == teacher.key()
    student = students.load(folder)
    other = replace(student, spec=replace(student.spec, normalization=replace(student.spec.normalization, low=5)))
    students.save(other, tmp_path)
    assert open_teacher(TeacherSection(name="unet", weights=str(tmp_path))).key() != teacher.key()


def test_opening_builds_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(students.Student, "graph", lambda self: pytest.fail("built"))
    open_teacher(TeacherSection(name="unet", weights=str(folder))).key()


@pytest.mark.parametrize(("weights", "said"), [("", "teacher.weights is empty"), ("nowhere", "There is no student")])
def test_a_folder_that_is_not_there_is_refused(weights: str, said: str):
    section = TeacherSection(name="unet", weights=weights)
    with pytest.raises(InputError, match=said):
        open_teacher(section)


def test_a_gpu_that_is_not_there_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match=r"teacher\.device is cuda"):
        open_teacher(TeacherSection(name="unet", weights=str(folder), device="cuda"))
