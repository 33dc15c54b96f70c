"""How students are scored, and what a fine-tuning takes over."""

from pathlib import Path

import pytest

from distill.adapt import flow, plan
from distill.adapt.survey import LabField, Survey
from distill.student.description import describe
from runtime.errors import InputError


def survey_of(images: int, empty: int = 0) -> Survey:
    fields = tuple(
        LabField(f"i{number}", "labelled", f"{number}", "d", 3 * (number < images), 12.0)
        for number in range(images + empty)
    )
    return Survey(fields, (), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "folds", "rounds", "trainings"), [(2, 2, 2, 3), (8, 3, 3, 4), (29, 3, 3, 4), (30, 3, 1, 1)]
)
def test_few_images_are_cross_validated(images, folds, rounds, trainings):
    found = plan.validation_of(survey_of(images))
    assert (found.folds, found.rounds, found.trainings) == (folds, rounds, trainings)
    assert ("cross-validation" in str(found)) == (images < plan.HOLD_OUT_FROM)


@pytest.mark.parametrize("images", [0, 1])
def test_one_image_cannot_say_whether_it_got_better(images):
    with pytest.raises(InputError, match=f"{images} image.*label at least 2 images"):
        plan.validation_of(survey_of(images))


def test_images_without_objects_cannot_say_it_either():
    with pytest.raises(InputError, match=r"1 image.*that hold objects"):
        plan.validation_of(survey_of(1, empty=9))
    assert plan.validation_of(survey_of(2, empty=9)).folds == 2


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


def round_of(out: Path, images: int, **settings) -> flow.AdaptRound:
    found = survey_of(images)
    begin = describe("nuclei-fast")
    return flow.AdaptRound(begin, flow.Settings(**settings), out, "mine", found, plan.validation_of(found))


@pytest.mark.parametrize(
    ("images", "minutes", "steps"),
    # seven tenths of the time, in four trainings or in one, four thirds of a step each: 0.1 s * 4 / 3
    [(8, 10, 750), (40, 10, 3150), (8, 0.01, 50)],
)
def test_minutes_become_steps_by_the_time_of_one(tmp_path, monkeypatch, images, minutes, steps):
    monkeypatch.setattr("distill.adapt.timing.seconds_per_step", lambda config: 0.1)
    this = round_of(tmp_path, images, minutes=minutes)
    this.work.mkdir(parents=True)
    assert flow.steps_of(this) == steps
    monkeypatch.setattr("distill.adapt.timing.seconds_per_step", lambda config: 1.0)
    assert flow.steps_of(this) == steps  # decided once: a run that goes on must not begin anew


def test_a_round_is_known_by_data_and_settings(tmp_path):
    first = round_of(tmp_path, 8)
    assert first.work == round_of(tmp_path, 8).work
    others = [round_of(tmp_path, 9), round_of(tmp_path, 8, steps=50), round_of(tmp_path, 8, minutes=5.0)]
    assert len({first.work, *(other.work for other in others)}) == 4
