"""What is said about the gain to expect, before hours are spent."""

from dataclasses import replace

import numpy as np
import pytest

from distill.config.sections import Config, DataSection, TeacherSection
from distill.datasets import Sample
from distill.teaching.headroom import Headroom, headroom, teacher_dice


def test_the_points_are_the_difference_of_means():
    room = Headroom(0.80, (0.70, 0.74), 3)
    assert room.points == pytest.approx(8.0)
    assert room.spread == pytest.approx(100 * np.std([0.70, 0.74], ddof=1))


def test_a_teacher_that_is_better_promises_at_most_that():
    room = Headroom(0.80, (0.70, 0.74), 3)
    assert not room.is_nil
    assert room.sentence() == (
        "headroom: the teacher reaches Dice 0.8000 on 3 held-out field(s), an undistilled student 0.7200 +- 0.0283 "
        "over 2 seeds: +8.00 points; that is the most that matching the teacher can give"
    )


@pytest.mark.parametrize("teacher", [0.72, 0.60, 0.7482])
def test_a_teacher_within_the_spread_promises_nothing_and_says_why(teacher: float):
    room = Headroom(teacher, (0.70, 0.74), 3)
    assert room.is_nil
    assert "No gain is to be expected" in room.sentence()
    assert "it knows nothing that the labels do not teach as well" in room.sentence()
    assert "images without labels" not in room.sentence()


def test_images_without_labels_are_what_remains():
    said = Headroom(0.7, (0.72,), 1, extra=True).sentence()
    assert said.endswith("what remains is the images without labels, which it teaches as well")
    assert "+-" not in said  # one seed has no spread


def test_one_undistilled_student_has_no_spread():
    room = Headroom(0.71, (0.70,), 1)
    assert room.spread == 0.0
    assert not room.is_nil


def test_without_undistilled_students_it_says_how_to_know():
    room = Headroom(0.7, (), 2)
    assert room.points is None
    assert not room.is_nil
    assert "is not known: train a student without [teacher]" in room.sentence()
    assert "teacher.undistilled" in room.sentence()


@pytest.fixture
def samples() -> list[Sample]:
    """Two fields; the true cells are their left half, and the left quarter."""
    found = []
    for name, width in (("a", 32), ("b", 16)):
        labels = np.zeros((64, 64), np.int32)
        labels[:, :width] = 1
        frame = np.random.default_rng(0).integers(0, 9, (1, 64, 64)).astype(np.uint16)
        found.append(Sample(name, frame, ("nucleus",), {"nuclei": labels}))
    return found


@pytest.fixture
def config(tmp_path) -> Config:
    """The teacher is the labels of the data themselves: it is always right."""
    section = TeacherSection(name="masks", weights="labels:nuclei", store=str(tmp_path / "store"))
    return replace(Config(), teacher=section, data=DataSection(labels="nuclei"))


def test_a_teacher_is_scored_at_one_half(samples: list[Sample]):
    planes = [255 * (sample.labels["nuclei"] > 0).astype(np.uint8) for sample in samples]
    assert teacher_dice(planes, samples, "nuclei") == 1.0
    assert teacher_dice([255 - plane for plane in planes], samples, "nuclei") == 0.0
    assert teacher_dice([plane // 2 for plane in planes], samples, "nuclei") == 0.0  # 127 is not above one half


def test_images_that_the_teacher_has_no_answer_about_are_not_scored(config: Config, samples: list[Sample], tmp_path):
    (tmp_path / "masks").mkdir()
    np.save(tmp_path / "masks" / "b.npy", samples[1].labels["nuclei"].astype(np.uint16))
    saved = replace(config, teacher=replace(config.teacher, weights=str(tmp_path / "masks")))
    assert headroom(saved, samples) == Headroom(1.0, (), 1)
    assert headroom(saved, samples[:1]) is None


def test_it_is_measured_against_the_students_that_are_named(config: Config, samples: list[Sample], student_folder):
    from distill.evaluation.evaluate import score
    from distill.evaluation.predict import segmenting
    from distill.student import student

    named = replace(config, teacher=replace(config.teacher, undistilled=(str(student_folder),) * 2))
    room = headroom(named, samples)
    loaded = student.load(student_folder)
    expected = score(segmenting(loaded.graph(), loaded.spec), loaded.spec, samples, "nuclei").scores["dice"].mean
    assert room == Headroom(1.0, (expected, expected), 2, extra=False)


def test_a_labelled_share_leaves_images_to_teach(config: Config, samples: list[Sample]):
    assert headroom(replace(config, data=replace(config.data, labelled=0.1)), samples).extra
