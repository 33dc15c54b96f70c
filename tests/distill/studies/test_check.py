"""The dry run of a study: how much is left, and what is in the way."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from distill.config.sections import Config, DataSection, StudySection, TeacherSection, TrainedTeacher
from distill.studies import job as jobs
from distill.studies.check import examine
from distill.studies.plan import plan


@pytest.fixture
def config() -> Config:
    return replace(
        Config(),
        data=DataSection(train=("synthetic:6@1?size=64",), validation=("synthetic:6@1?size=64",), labels="cells"),
        teacher=TeacherSection(name="unet"),
        study=StudySection(rows=("threshold", "undistilled", "paper"), seeds=2, teacher=TrainedTeacher(steps=50)),
    )


def test_it_says_what_is_left(config: Config, tmp_path: Path):
    found = examine(config, tmp_path)
    assert not found.problems
    assert found.facts[-2:] == [
        "teacher to be trained: resnet18 on nucleus, membrane",
        "6 trainings, 0 of them done; 8100 steps are left",
    ]


def test_what_is_done_is_not_counted_again(config: Config, tmp_path: Path):
    first = plan(config, tmp_path).undistilled[0]
    jobs.write({"schema_version": 1, "key": first.key(), "name": first.name}, tmp_path)
    assert examine(config, tmp_path).facts[-1] == "6 trainings, 1 of them done; 6100 steps are left"


def test_what_is_of_another_configuration_is_a_problem(config: Config, tmp_path: Path):
    todo = plan(config, tmp_path)
    jobs.write({"schema_version": 1, "key": "other", "name": todo.undistilled[0].name}, tmp_path)
    folder = tmp_path / "teachers" / todo.teachers[1].name
    folder.mkdir(parents=True)
    folder.with_name("fold0.json").write_text(json.dumps({"schema_version": 1, "key": "other"}))
    problems = examine(config, tmp_path).problems
    assert ["undistilled-s0.json" in problems[0], "multiplexed/s1/fold0" in problems[1]] == [True, True]


def test_every_problem_is_found(config: Config, tmp_path: Path):
    data = replace(config.data, validation=("multiplex:nowhere",))
    study = replace(config.study, rows=("nucleus-unprompted",), test=("folder:elsewhere",))
    problems = examine(replace(config, data=data, study=study), tmp_path).problems
    assert len(problems) == 3
    for problem, said in zip(problems, ("'nowhere'", "'elsewhere'", "about prompts"), strict=True):
        assert said in problem


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (TrainedTeacher(steps=70), "study.teacher.steps is 70; it must be a multiple of trainer.interval 50; try 50."),
        (TrainedTeacher(steps=50, folds=9), ""),
        (TrainedTeacher(steps=50, channels=("nucleus",)), "the teacher sees no channel besides the nucleus"),
    ],
)
def test_a_teacher_that_cannot_be_trained_is_a_problem(
    config: Config, tmp_path: Path, teacher: TrainedTeacher, said: str
):
    study = replace(config.study, rows=("undistilled", "blanked"), teacher=teacher)
    problems = examine(replace(config, study=study), tmp_path).problems
    assert [said in problem for problem in problems] == ([True] if said else [])


def test_a_fold_without_labels_is_a_problem(config: Config, tmp_path: Path):
    few = replace(config.study, fractions=(0.1,), teacher=TrainedTeacher(steps=50, folds=2))
    problems = examine(replace(config, study=few), tmp_path).problems
    assert problems == ["data.fold [0, 2] leaves none of the 1 labelled image(s); give fewer folds."]


def test_labels_that_a_control_is_prompted_with_are_looked_for(config: Config, tmp_path: Path, sam_weights: Path):
    fields = tmp_path / "fields"
    for number in range(3):
        (fields / f"f{number}").mkdir(parents=True)
        for name in ("nucleus", "membrane", "cells"):
            tifffile.imwrite(fields / f"f{number}" / f"{name}.tif", np.eye(64, dtype=np.uint16))
    data = replace(config.data, train=(f"multiplex:{fields}",), validation=(f"multiplex:{fields}",))
    teacher = TeacherSection(
        name="sam", weights=str(sam_weights), store=str(tmp_path / "store"), options={"size": "vit_b"}
    )
    settings = replace(config, data=data, teacher=teacher)
    assert not examine(settings, tmp_path / "out").problems
    rows = replace(config.study, rows=("undistilled", "paper", "nucleus-nuclear-boxes"))
    problems = examine(replace(settings, study=rows), tmp_path / "out").problems
    assert ["has no labels 'nuclei', it has cells; choose among" in problem for problem in problems] == [True, True]


def test_a_place_that_is_no_folder_is_a_problem(config: Config, tmp_path: Path):
    (tmp_path / "file").write_text("")
    problems = examine(config, tmp_path / "file").problems
    assert ["is a file, no folder; choose another --out" in problem for problem in problems] == [True]


def test_several_devices_are_refused(config: Config, tmp_path: Path):
    several = replace(config, trainer=replace(config.trainer, devices=2))
    assert "trains on one device a row" in examine(several, tmp_path).problems[0]


def test_nothing_is_written(config: Config, tmp_path: Path):
    examine(config, tmp_path / "out")
    assert not list(tmp_path.iterdir())
