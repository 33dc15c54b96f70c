"""How students are scored, and what a fine-tuning takes over."""

from pathlib import Path

import pytest

from distill.adapt import plan
from distill.student.description import describe
from runtime.errors import InputError


@pytest.mark.parametrize(
    ("images", "folds", "rounds", "trainings"), [(2, 2, 2, 3), (8, 3, 3, 4), (29, 3, 3, 4), (30, 3, 1, 1)]
)
def test_few_images_are_cross_validated(images, folds, rounds, trainings):
    found = plan.validation_of(images)
    assert (found.folds, found.rounds, found.trainings) == (folds, rounds, trainings)
    assert ("cross-validation" in str(found)) == (images < plan.HOLD_OUT_FROM)


@pytest.mark.parametrize("images", [0, 1])
def test_one_image_cannot_say_whether_it_got_better(images):
    with pytest.raises(InputError, match=f"{images} image.*label at least 2 images"):
        plan.validation_of(images)


def test_a_training_takes_over_what_the_student_is():
    begin = describe("nuclei-fast")
    part = "fold=0of3&part=train"
    config = plan.config_of(begin, "nuclei-fast", "mine", Path("data"), (8, 4), part, 150, seed=3)
    assert config.student.name == "mine"
    assert config.student.init_from == "nuclei-fast"
    assert (config.student.family, config.student.encoder) == (begin.spec.family, begin.spec.encoder)
    assert config.data.core == "distance"
    assert config.data.object_diameter == begin.spec.object_diameter.median_px
    assert config.data.share == (8, 2)
    assert config.data.train[1] == "folder:data/taught?labels=nuclei&part=all"
    assert (config.float.steps, config.qat.steps, config.seed) == (150, 50, 3)


@pytest.mark.parametrize(("steps", "nearest"), [(1, 50), (80, 100), (150, 150)])
def test_steps_make_whole_intervals(steps, nearest):
    assert plan.check_steps(steps) == nearest


def test_no_steps_are_refused():
    with pytest.raises(InputError, match="--steps is 0"):
        plan.check_steps(0)
