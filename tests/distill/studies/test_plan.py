"""What a study trains, and that a job's key is all that its result depends on."""

from dataclasses import replace
from pathlib import Path

import pytest

from distill.config.sections import (
    Config,
    DataSection,
    LossSection,
    PhaseSection,
    StudySection,
    TeacherSection,
    TrainedTeacher,
)
from distill.studies.plan import plan, settings, trains_teachers
from runtime.errors import InputError

OUT = Path("runs/x")


@pytest.fixture
def config() -> Config:
    return replace(
        Config(),
        data=DataSection(train=("synthetic:9@1",), validation=("synthetic:9@1",)),
        teacher=TeacherSection(name="unet"),
        study=StudySection(rows=("threshold", "undistilled", "boundary", "paper", "matching"), seeds=2),
        seed=5,
    )


def study(config: Config, **changes: object) -> Config:
    return replace(config, study=replace(config.study, **changes))


def names(jobs) -> list[str]:
    return [job.name for job in jobs]


def test_what_learns_from_labels_comes_first_then_teachers_then_what_is_taught(config: Config):
    todo = plan(config, OUT)
    assert names(todo.undistilled) == ["undistilled-s5", "boundary-s5", "undistilled-s6", "boundary-s6"]
    assert names(todo.teachers) == ["multiplexed/s5/fold0", "multiplexed/s6/fold0"]
    assert names(todo.distilled) == ["paper-s5", "matching-s5", "paper-s6", "matching-s6"]
    assert todo.jobs == (*todo.undistilled, *todo.teachers, *todo.distilled)


def test_rows_of_a_seed_differ_in_loss_and_teacher_alone(config: Config):
    for seed in (5, 6):
        jobs = [job for job in plan(config, OUT).jobs if job.seed == seed and job.kind == "student"]
        first = jobs[0].config
        assert all(job.config.loss != first.loss for job in jobs[1:])
        for job in jobs:
            assert replace(job.config, loss=first.loss, teacher=first.teacher) == first


def test_a_student_is_taught_by_the_teacher_of_its_seed(config: Config):
    for job in plan(config, OUT).distilled:
        assert job.config.teacher.weights == f"runs/x/teachers/multiplexed/s{job.seed}"
        assert job.taught_by == ("multiplexed", 1.0)


def test_a_study_compares_float_students(config: Config):
    assert all(job.config.qat.steps == 0 for job in plan(config, OUT).jobs)


def test_a_job_does_not_depend_on_the_rest_of_the_study(config: Config):
    more = study(config, rows=("undistilled", "cwd"), seeds=4, title="other", block=64, fractions=(0.5,))
    keys = {job.name: job.key() for job in plan(more, OUT).jobs}
    assert keys["undistilled-s5"] == plan(config, OUT).undistilled[0].key()


@pytest.mark.parametrize(
    "change",
    [
        {"float": PhaseSection(steps=50)},
        {"data": DataSection(train=("synthetic:8@1",), validation=("synthetic:9@1",))},
    ],
)
def test_a_job_depends_on_its_configuration(config: Config, change: dict[str, object]):
    assert plan(replace(config, **change), OUT).undistilled[0].key() != plan(config, OUT).undistilled[0].key()


def test_another_family_has_an_undistilled_and_a_distilled_row(config: Config):
    todo = plan(study(config, students=("efficientnet_b0",), seeds=1), OUT)
    rows = {job.row: job for job in todo.jobs}
    assert {"efficientnet_b0-undistilled", "efficientnet_b0-paper"} <= set(rows)
    assert rows["efficientnet_b0-paper"].config.student.family == "efficientnet_b0"
    assert "efficientnet_b0-matching" not in rows
    assert names(todo.teachers) == ["multiplexed/s5/fold0"]  # the same teacher


def test_few_labels_have_teachers_of_the_same_labels(config: Config):
    rows = ("undistilled", "boundary", "paper", "matching", "hinton")
    todo = plan(study(config, rows=rows, fractions=(0.25,), seeds=1), OUT)
    found = {job.row: job for job in todo.jobs}
    assert {row for row in found if row.endswith("-25")} >= {"undistilled-25", "paper-25", "hinton-25"}
    assert not {"boundary-25", "matching-25"} & found.keys()
    assert found["undistilled-25"].labelled == found["undistilled-25"].config.data.labelled == 0.25
    for row in ("paper-25", "hinton-25"):
        assert found[row].taught_by == ("multiplexed", 0.25)
        assert found[row].config.loss == found[row.removesuffix("-25")].config.loss
        assert found[row].config.teacher.weights == "runs/x/teachers/multiplexed-25/s5"
    assert names(todo.teachers) == ["multiplexed/s5/fold0", "multiplexed-25/s5/fold0"]
    assert [job.config.data.labelled for job in todo.teachers] == [1.0, 0.25]


def test_a_setting_that_stays_at_its_default_is_no_part_of_a_key(config: Config):
    """So that results stay valid when a setting is added."""
    said = settings(plan(config, OUT).undistilled[0].config)
    assert set(said) == {"data", "qat", "seed"}
    assert set(said["data"]) == {"train", "validation"}


def test_a_teacher_is_trained_as_its_section_says(config: Config):
    section = TrainedTeacher(
        family="mobilenetv3", channels=("nucleus", "membrane"), decoder=(8,) * 5, steps=50, drop=0.3
    )
    (job,) = plan(study(config, teacher=section, seeds=1), OUT).teachers
    assert job.config.student.channels == ("nucleus", "membrane")
    assert (job.config.student.family, job.config.student.decoder) == ("mobilenetv3", (8,) * 5)
    assert (job.config.float.steps, job.config.augment.drop) == (50, 0.3)
    assert job.config.loss == LossSection()
    assert not job.config.teacher.name


def test_folds_leave_out_their_part(config: Config):
    todo = plan(study(config, teacher=TrainedTeacher(folds=3), seeds=1), OUT)
    assert [job.config.data.fold for job in todo.teachers] == [(0, 3), (1, 3), (2, 3)]


def test_a_nuclear_teacher_sees_the_first_channel_alone(config: Config):
    todo = plan(study(config, rows=("nuclear-teacher",), seeds=1), OUT)
    assert todo.teachers[0].config.student.channels == ("nucleus",)
    assert todo.distilled[0].config.teacher.weights == "runs/x/teachers/nuclear/s5"


def test_a_teacher_with_weights_is_not_trained(config: Config):
    given = replace(config, teacher=TeacherSection(name="unet", weights="runs/teacher"))
    assert trains_teachers(config)
    assert not trains_teachers(given)
    todo = plan(given, OUT)
    assert not todo.teachers
    assert {job.config.teacher.weights for job in todo.distilled} == {"runs/teacher"}


@pytest.mark.parametrize(
    ("teacher", "rows", "said"),
    [
        (TeacherSection(), ("paper",), "Row 'paper' needs a teacher; name one in"),
        (TeacherSection(name="unet"), ("nucleus-unprompted",), "about prompts, which teacher 'unet' does not take"),
        (TeacherSection(name="sam"), ("nuclear-teacher",), "only a teacher that studies train"),
        (TeacherSection(name="unet", weights="x"), ("nuclear-teacher",), "only a teacher that studies train"),
        (TeacherSection(name="unet"), ("magic",), "Unknown row 'magic'"),
    ],
)
def test_rows_that_cannot_be_are_refused(config: Config, teacher: TeacherSection, rows: tuple[str, ...], said: str):
    with pytest.raises(InputError, match=said):
        plan(study(replace(config, teacher=teacher), rows=rows), OUT)


def test_a_teacher_of_lean_students_is_a_stock_one(config: Config):
    lean = replace(
        config.student, family="plain", encoder=(4, 8), decoder=(4,), head_stride=2, encoder_weights="imagenet"
    )
    (job, *_) = plan(replace(config, student=lean), OUT).teachers
    student = job.config.student
    assert (student.family, student.head_stride, student.encoder) == ("resnet18", 1, ())
    assert (student.separable, student.encoder_weights) == (False, "")
