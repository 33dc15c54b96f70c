"""The dry run of a study: how much is left, and what is in the way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from distill.config import Config
from distill.sections import DataSection, StudySection, TeacherSection, TrainedTeacher
from distill.study import job as jobs
from distill.study.check import examine
from distill.study.plan import plan


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


def test_several_devices_are_refused(config: Config, tmp_path: Path):
    several = replace(config, trainer=replace(config.trainer, devices=2))
    assert "trains on one device a row" in examine(several, tmp_path).problems[0]


def test_nothing_is_written(config: Config, tmp_path: Path):
    examine(config, tmp_path / "out")
    assert not list(tmp_path.iterdir())
