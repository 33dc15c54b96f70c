"""The results of jobs on disk: found again, or refused with the file's name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from distill.config.sections import Config, DataSection, LossSection, StudySection, TeacherSection, TrainedTeacher
from distill.studies import job as jobs
from distill.studies.plan import TEACHERS, plan
from distill.training.data import TrainingData, divide
from runtime.errors import InputError

RESULT = {"schema_version": 1, "key": "abc", "name": "paper-s0", "scores": {}}


def test_a_result_is_found_again(tmp_path: Path):
    assert jobs.read("paper-s0", "abc", tmp_path) is None
    jobs.write(RESULT, tmp_path)
    assert jobs.read("paper-s0", "abc", tmp_path) == RESULT


@pytest.mark.parametrize("found", [RESULT | {"key": "xyz"}, RESULT | {"schema_version": 99}])
def test_a_result_of_another_configuration_is_refused_by_name(tmp_path: Path, found: dict):
    jobs.write(found, tmp_path)
    with pytest.raises(InputError, match=r"rows/paper-s0\.json is of another configuration; choose another --out"):
        jobs.read("paper-s0", "abc", tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"name": "x"}'])
def test_a_damaged_result_is_refused_by_name(tmp_path: Path, text: str):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "paper-s0.json").write_text(text)
    with pytest.raises(InputError, match=r"rows/paper-s0\.json cannot be read as a row of a study.*remove it"):
        jobs.read("paper-s0", "abc", tmp_path)


def test_what_is_no_number_is_not_written(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON compliant"):
        jobs.write(RESULT | {"threshold": float("nan")}, tmp_path)
    assert not (tmp_path / "rows" / "paper-s0.json").exists()


@pytest.fixture
def config() -> Config:
    data = DataSection(train=("synthetic:6@1?size=64",), validation=("synthetic:6@1?size=64",), labels="cells")
    study = StudySection(rows=("threshold", "paper"), seeds=1, radii=(0, 3))
    return replace(Config(), data=data, teacher=TeacherSection(name="unet"), study=study)


def test_a_teacher_is_trained_once(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (teacher,) = plan(config, tmp_path).teachers
    trained: list[Path] = []
    monkeypatch.setattr(jobs, "fit", lambda settings, folder: (trained.append(folder), folder.mkdir(parents=True)))
    assert not jobs.is_trained(teacher, tmp_path)
    for _ in range(2):
        assert jobs.run(teacher, config, tmp_path)["key"] == teacher.key()
    assert trained == [tmp_path / TEACHERS / teacher.name]
    assert jobs.is_trained(teacher, tmp_path)


def test_a_teacher_of_another_configuration_is_refused_by_name(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobs, "fit", lambda settings, folder: folder.mkdir(parents=True))
    (teacher,) = plan(config, tmp_path).teachers
    jobs.run(teacher, config, tmp_path)
    longer = replace(config, study=replace(config.study, teacher=TrainedTeacher(steps=50)))
    (other,) = plan(longer, tmp_path).teachers
    with pytest.raises(InputError, match=r"multiplexed/s0/fold0\.json is of another configuration"):
        jobs.run(other, longer, tmp_path)


def test_the_trivial_row_is_scored_without_training(config: Config):
    found = jobs.run_trivial(config)
    assert (found["row"], found["kind"], found["seed"]) == ("threshold", "trivial", None)
    assert found["radius"] in (0, 3)
    assert set(found["scores"]) == {"validation"}
    assert all(0 <= unit["dice"] <= 1 for unit in found["scores"]["validation"]["units"])


def test_a_teacher_is_scored_on_sets_that_call_their_images_alike(tmp_path: Path):
    rng = np.random.default_rng(0)
    for data in "ab":
        for field in ("f0", "f1"):
            (tmp_path / data / field).mkdir(parents=True)
            tifffile.imwrite(tmp_path / data / field / "nucleus.tif", rng.integers(0, 9, (64, 64)).astype(np.uint16))
            tifffile.imwrite(tmp_path / data / field / "cells.tif", rng.integers(0, 2, (64, 64)).astype(np.uint8))
    specs = tuple(f"multiplex:{tmp_path / data}" for data in "ab")
    teacher = TeacherSection(name="masks", weights="labels:cells", store=str(tmp_path / "soft.zarr"))
    settings = replace(Config(), data=DataSection(train=specs, validation=specs, labels="cells"), teacher=teacher)
    (job,) = plan(replace(settings, study=StudySection(rows=("paper",), seeds=1)), tmp_path).distilled
    units = jobs.ask_teacher(job, settings, tmp_path / "out")["scores"]["validation"]["units"]
    assert [unit["dice"] for unit in units] == [1.0, 1.0]


def few_labels(config: Config, teacher: TeacherSection, loss: LossSection) -> Config:
    return replace(config, data=replace(config.data, labelled=0.25), teacher=teacher, loss=loss)


def test_a_threshold_is_chosen_on_the_labels_and_on_what_the_teacher_says_of_the_rest(config: Config, tmp_path: Path):
    nuclei = TeacherSection(name="masks", weights="labels:nuclei", store=str(tmp_path / "store"))
    taught = few_labels(config, nuclei, LossSection(matching="mse"))
    data = TrainingData(taught)
    samples = list(jobs.spoken_for(taught, data))
    labelled = divide(data.train[0], taught.data, taught.seed)[0].names
    assert [sample.name for sample in samples[: len(labelled)]] == list(labelled)
    assert {sample.name for sample in samples} == set(data.train[0].names)
    for sample in samples:
        truth = data.train[0].read(sample.name).labels["cells" if sample.name in labelled else "nuclei"]
        np.testing.assert_array_equal(sample.labels["cells"] > 0, truth > 0)


def test_without_a_teacher_it_is_chosen_on_the_labels_alone(config: Config):
    alone = few_labels(config, TeacherSection(), LossSection())
    data = TrainingData(alone)
    chosen_on = [sample.name for sample in jobs.spoken_for(alone, data)]
    assert chosen_on == list(divide(data.train[0], alone.data, alone.seed)[0].names)
    assert len(chosen_on) < len(data.train[0])
