"""The dry run: what is there is said, what is not is said all at once, and nothing is trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from distill import datasets
from distill import settings as configuration
from distill.__main__ import main
from distill.config.sections import Config
from distill.training.preflight import Examination, examine, examine_control, examine_data
from runtime.errors import InputError

CONFIG = """
[data]
train = ["multiplex:fields?tile=64"]
validation = ["multiplex:fields"]
labels = "cells"
crop = 64
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three annotated fields of two channels, and a configuration."""
    rng = np.random.default_rng(0)
    for number in range(3):
        folder = tmp_path / "fields" / f"f{number}"
        folder.mkdir(parents=True)
        for name in ("nucleus", "membrane", "cells"):
            tifffile.imwrite(folder / f"{name}.tif", rng.integers(0, 9, (64, 64)).astype(np.uint16))
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(*overrides: str) -> Config:
    return configuration.load(Path("config.toml"), overrides)


def data_of(config: Config, taught_on: tuple[str, ...] = (), test: tuple[str, ...] = ()) -> Examination:
    found = Examination()
    examine_data(config, found, taught_on, (), test)
    return found


TEACHER = ("teacher.name=masks", "loss.matching=mse")


def test_what_is_there_is_said(here: Path):
    found = examine(load())
    assert not found.problems
    assert found.facts == [
        "train: multiplex:fields?tile=64, 2 images, channels nucleus, membrane, labels cells of 2",
        "val: multiplex:fields, 1 images, channels nucleus, membrane, labels cells of 1",
        "losses: supervised dice_bce; fixed",
    ]


def test_a_teacher_is_looked_at(here: Path):
    found = examine(load(*TEACHER, "teacher.weights=labels:cells"))
    assert "teacher masks, weights labels:cells" in found.facts


def test_all_problems_are_found_at_once(here: Path):
    found = examine(
        load(
            "data.validation=['multiplex:nowhere']",
            "student.channels=['nucleus', 'actin']",
            "teacher.name=unet",
            "teacher.weights=nowhere",
            "loss.matching=mse",
            "loss.boundary=mse",
        )
    )
    said = [problem.split(";")[0] for problem in found.problems]
    assert len(said) == 4
    assert "There is no student 'nowhere'" in said[0]
    assert "has no channel 'actin', it has nucleus, membrane" in said[1]
    assert "'nowhere' does not exist" in said[2]
    assert "The loss 'mse' is matching and not boundary" in said[3]
    with pytest.raises(InputError) as error:
        found.raise_problems()
    assert all(problem in str(error.value) for problem in found.problems)


def test_the_last_image_is_opened_as_well(here: Path):
    (here / "fields" / "f2" / "membrane.tif").write_bytes(b"II*\0")
    assert any("f2/membrane.tif' is damaged or cut short" in problem for problem in examine(load()).problems)


def test_a_channel_that_one_image_lacks_is_found(here: Path):
    (here / "fields" / "f1" / "membrane.tif").unlink()
    found = examine(load("student.channels=['nucleus', 'membrane']"))
    assert ["f1@y0x0 has no channel 'membrane'" in problem for problem in found.problems] == [True]


def test_images_without_labels_need_a_teacher(here: Path):
    for number in range(3):
        (here / "fields" / f"f{number}" / "cells.tif").unlink()
    without = examine(load()).problems
    assert "None of the 2 images of multiplex:fields?tile=64 has labels 'cells'" in without[0]
    assert "has no labels 'cells', it has none" in without[1]  # a held-out image must have them
    (here / "masks").mkdir()
    for number in range(3):
        tifffile.imwrite(here / "masks" / f"f{number}.tif", np.eye(64, dtype=np.uint16))
    taught = examine(load(*TEACHER, "teacher.weights=masks")).problems
    assert ["has no labels 'cells', it has none" in problem for problem in taught] == [True]


def test_a_teacher_that_nothing_listens_to_is_a_problem(here: Path):
    found = examine(load("teacher.name=masks", "teacher.weights=labels:cells"))
    assert ["No loss listens to the teacher" in problem for problem in found.problems] == [True]


def test_channels_of_a_teacher_that_is_still_to_be_trained_are_looked_for(here: Path):
    settings = load("teacher.name=unet")
    assert not data_of(settings, ("nucleus", "membrane")).problems
    assert len(data_of(settings, ("nucleus", "actin")).problems) == 2  # of training and validation


def test_test_data_of_other_labels_are_scored_for_those(here: Path):
    for number in range(3):
        folder = here / "other" / f"f{number}"
        folder.mkdir(parents=True)
        tifffile.imwrite(folder / "nucleus.tif", np.zeros((64, 64), np.uint8))
        tifffile.imwrite(folder / "nuclei.tif", np.eye(64, dtype=np.uint8))
    found = data_of(load(), test=("multiplex:other",))
    assert "test: multiplex:other, 3 images, channels nucleus, labels nuclei of 3" in found.facts
    (here / "other" / "f1" / "nuclei.tif").unlink()
    assert len(data_of(load(), test=("multiplex:other",)).problems) == 1


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("loss.boundary=mse", "The loss 'mse' is matching and not boundary"),
        ("loss.supervised_weight=nan", "The weight of the loss 'supervised' is nan"),
        ("data.record=folder:nowhere", "'nowhere' does not exist"),
        ("data.record=synthetic:3?size=64", ""),
        ("teacher.undistilled=['nowhere']", "There is no student 'nowhere'"),
        (
            "teacher.weights=labels:nuclei",
            "has no labels 'nuclei', it has cells; choose among these in",
        ),
        ("teacher.weights=fields", "'fields' holds no TIFF, PNG or .npy"),
        ("teacher.store=config.toml", "config.toml is no store of soft labels"),
        ("teacher.store=config.toml/store", "config.toml is a file, no folder"),
        ("teacher.membrane=blank", "sees no channel besides the nucleus"),
    ],
)
def test_whatever_would_fail_after_the_hours_is_found_before(here: Path, setting: str, said: str):
    problems = examine(load(*TEACHER, "teacher.weights=labels:cells", setting)).problems
    assert [said in problem for problem in problems[:1]] == ([True] if said else [])


def test_masks_may_be_missing_for_some_images_and_not_for_all(here: Path):
    (here / "masks").mkdir()
    names = {name.partition("@")[0] for name in datasets.open("multiplex:fields", "train").names}
    for name in sorted(names)[1:]:
        tifffile.imwrite(here / "masks" / f"{name}.tif", np.zeros((64, 64), np.uint16))
    found = examine(load(*TEACHER, "teacher.weights=masks"))
    assert not found.problems
    assert any(fact.endswith("; the teacher has no answer about 1") for fact in found.facts)
    for mask in (here / "masks").iterdir():
        mask.rename(mask.with_name(f"other-{mask.name}"))
    (problem,) = examine(load(*TEACHER, "teacher.weights=masks")).problems  # validation images need none
    assert "has no masks of f" in problem


def test_one_image_cannot_be_shuffled(here: Path):
    settings = ("teacher.name=head", "teacher.membrane=shuffled", "loss.matching=mse")
    found = Examination()
    examine_control(load(*settings), found, ("nucleus", "membrane"), "shuffled")
    assert not found.problems
    one = load(*settings, "data.train=['synthetic:2?size=64']")
    examine_control(one, found, ("nucleus", "membrane"), "shuffled")
    assert ["the data hold one image" in problem for problem in found.problems] == [True]


def test_a_path_that_serves_twice_is_one_problem(here: Path):
    assert len(examine(load("data.train=['multiplex:nowhere']", "data.validation=['multiplex:nowhere']")).problems) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_here_is_noted_and_needed_to_train(here: Path, capsys: pytest.CaptureFixture[str]):
    said = "trainer.accelerator is cuda, but there is none here; set it to cpu or auto."
    found = examine(load("trainer.accelerator=cuda"))
    assert (found.problems, found.notes) == ([], [said])  # it may be on the machine that trains
    settings = ["--set", "trainer.accelerator=cuda", "--set", "qat.steps=0", "--set", "study.rows=['undistilled']"]
    assert main(["study", "config.toml", "--check", *settings]) == 0
    assert f"note: {said}" in capsys.readouterr().out
    assert main(["study", "config.toml", *settings]) == 2
    assert said in capsys.readouterr().err


def test_a_fact_or_a_problem_is_noted():
    found = Examination()

    def fails() -> str:
        msg = "no"
        raise InputError(msg)

    found.attempt(lambda: "yes")
    found.attempt(lambda: None)
    found.attempt(fails)
    assert (found.facts, found.problems) == (["yes"], ["no"])


def test_fit_checks_and_trains_nothing(here: Path, capsys: pytest.CaptureFixture[str]):
    before = sorted(here.rglob("*"))
    assert main(["fit", "config.toml", "--check"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("ok: train: multiplex:fields?tile=64, 2 images")
    assert said[-1] == "Configuration OK (dry run)"
    assert sorted(here.rglob("*")) == before


def test_fit_says_every_problem_and_leaves_with_2(here: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--set", "data.validation=['multiplex:nowhere']", "--set", "student.channels=['nucleus','actin']"]
    assert main(["fit", "config.toml", "--check", *arguments]) == 2
    said = capsys.readouterr().err
    assert "'nowhere' does not exist" in said
    assert "has no channel 'actin'" in said


def test_a_study_checks_and_writes_what_it_found(here: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--set", "teacher.name=unet", "--check", "--json", "found.json", "--set", "qat.steps=0"]
    assert main(["study", "config.toml", *arguments]) == 0, capsys.readouterr().err
    found = json.loads((here / "found.json").read_text())
    assert found["problems"] == []
    assert "teacher to be trained: resnet18 on nucleus, membrane" in found["facts"]
    assert found["facts"][-1].startswith("9 trainings, 0 of them done; ")
    assert not (here / "runs").exists()


def test_a_study_says_every_problem(here: Path, capsys: pytest.CaptureFixture[str]):
    settings = [
        "teacher.name=unet", "study.teacher.channels=['nucleus','actin']", "study.rows=['undistilled','magic']",
        "study.test=['folder:nowhere']", "trainer.devices=2",
    ]  # fmt: skip
    assert main(["study", "config.toml", *(part for one in settings for part in ("--set", one)), "--check"]) == 2
    said = capsys.readouterr().err
    for problem in ("'actin'", "Unknown row 'magic'", "'nowhere' does not exist", "trains on one device a row"):
        assert problem in said


def test_options_of_a_data_spec_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The path ends at the question mark, and an option that there is not is a problem."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)
    for number in range(10):
        folder = tmp_path / "stage1" / str(number)
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
            pixels = np.zeros((64, 64), np.uint8)
            pixels[8:20, 8:20] = 20 * number + 50
            Image.fromarray(pixels if name == "images" else np.minimum(pixels, 1)).save(folder / name / f"{number}.png")
    sets = ("data.train=['bbbc038:stage1?split={}']", "data.validation=['bbbc038:stage1']", "data.labels=nuclei")
    found = examine(load(*(part.format("groups") for part in sets)))
    assert not found.problems
    assert found.facts[0].startswith("train: bbbc038:stage1?split=groups, ")
    (problem,) = examine(load(*(part.format("random") for part in sets))).problems
    assert "Option 'split=random' of the BBBC038 data is unknown" in problem
