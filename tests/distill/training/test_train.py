"""Training end to end on a few synthetic crops: interrupted or not, the same weights; and never half a student."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill import settings as configuration
from distill.config.sections import Config, LossSection, TeacherSection
from distill.student import student as students
from distill.training.preflight import examine
from distill.training.train import fit
from runtime.errors import EdgescopeError, InputError
from runtime.system.lock import only_run

ROOT = Path(__file__).parents[3]
TINY = ROOT / "configs" / "tiny.toml"
LONGER = ("float.steps=12", "qat.steps=12")


@pytest.fixture(scope="module")
def config() -> Config:
    return configuration.load(TINY, LONGER)


@pytest.fixture(scope="module")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student of an uninterrupted run; its working folder lies beside it."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    fit(config, out)
    return out


def start(out: Path) -> subprocess.Popen[str]:
    """The same training as a process of its own."""
    command = [sys.executable, "-m", "distill", "fit", str(TINY), "--out", str(out)]
    command += [part for setting in LONGER for part in ("--set", setting)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def stop(process: subprocess.Popen[str], number: signal.Signals, when: Path, after: float = 0.0) -> tuple[int, str]:
    """Send the signal once the file is there; return the exit code and what stood on standard error."""
    while process.poll() is None and not when.exists():
        time.sleep(0.01)
    time.sleep(after)
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    return process.returncode, said


def test_a_record_that_is_not_there_costs_no_training(config: Config, tmp_path: Path):
    with pytest.raises(InputError, match="'nowhere' does not exist"):
        fit(replace(config, data=replace(config.data, record="folder:nowhere")), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_record_of_other_labels_costs_no_training(config: Config, tmp_path: Path):
    data = replace(config.data, record="synthetic:2?size=64", labels="rims")
    with pytest.raises(
        InputError, match=r"has no labels 'rims', it has cells, nuclei; name other images as data\.record"
    ):
        fit(replace(config, data=data), tmp_path / "out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_here_is_said_at_once(config: Config, tmp_path: Path):
    with pytest.raises(InputError, match=r"trainer\.accelerator is gpu, but there is none here"):
        fit(replace(config, trainer=replace(config.trainer, accelerator="gpu")), tmp_path / "out")


@pytest.mark.slow
def test_a_training_that_is_killed_and_resumed_gives_the_same_weights(trained: Path, tmp_path: Path):
    out, work = tmp_path / "student", tmp_path / "student.training"
    code, _ = stop(start(out), signal.SIGKILL, work / "float.ckpt")
    assert code == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == {work.name, ".student.lock"}

    code, said = stop(start(out), signal.SIGTERM, work / "qat.ckpt")
    assert (code, said.splitlines()[-1]) == (130, "error: interrupted; run the same command again to go on")
    assert not out.exists()

    moment = random.Random(7).uniform(0, 1)
    stop(start(out), signal.SIGKILL, work / "logs" / "qat" / "version_1", moment)
    assert not out.exists() or students.load(out)

    if not out.exists():  # the lock of a killed process is free
        last = start(out)
        _, said = last.communicate(timeout=600)
        assert last.returncode == 0, said
    print(f"the random moment was {moment:.3f} s into the third run's phase")
    expected, found = students.load(trained), students.load(out)
    assert found.weights.keys() == expected.weights.keys()
    assert all(torch.equal(found.weights[name], weight) for name, weight in expected.weights.items())
    assert found.scheme == expected.scheme
    assert found.spec == expected.spec
    assert found.metrics == expected.metrics


@pytest.mark.parametrize(
    "change",
    [
        {"student": {"init_from": "nowhere"}},
        {
            "teacher": {"name": "unet", "weights": "nowhere", "options": {"looks_at": "crops"}},
            "loss": {"matching": "mse"},
        },
    ],
    ids=["init_from", "teacher"],
)
def test_who_is_not_there_costs_no_training(config: Config, tmp_path: Path, change):
    wrong = replace(config, **{key: replace(getattr(config, key), **values) for key, values in change.items()})
    with pytest.raises(InputError, match="There is no student 'nowhere'"):
        fit(wrong, tmp_path / "out")
    assert not any(tmp_path.iterdir())
    assert "There is no student 'nowhere'" in " ".join(examine(wrong).problems)


@pytest.mark.slow
def test_a_student_is_taught_crop_by_crop(trained: Path, config: Config, tmp_path: Path):
    taught = replace(
        config,
        teacher=TeacherSection(name="unet", weights=str(trained), options={"looks_at": "crops"}),
        loss=LossSection(matching="hinton", matching_options={"temperature": 1.0}),
        trainer=replace(config.trainer, crops="device"),
    )
    found = fit(taught, tmp_path / "taught")
    assert found.lineage.teacher.startswith("unet (weights ")
    assert found.lineage.weights_sha256 != students.load(trained).lineage.weights_sha256
    log = (tmp_path / "taught" / "training.csv").read_text()
    assert "matching" in log
    again = fit(taught, tmp_path / "again")
    assert again.lineage.weights_sha256 == found.lineage.weights_sha256


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(trained: Path, config: Config, tmp_path: Path):
    again = fit(config, tmp_path / "again")
    expected = students.load(trained)
    assert again.lineage.weights_sha256 == expected.lineage.weights_sha256
    assert again.scheme == expected.scheme


@pytest.mark.slow
def test_the_folder_of_a_trained_student_is_complete(trained: Path):
    assert {path.name for path in trained.iterdir()} == {
        *("weights.safetensors", "student.json", "scheme.json", "metrics.json", "probes.safetensors"),
        *("config.toml", "training.csv", "curve.png", "CARD.md"),
    }


@pytest.mark.slow
def test_a_trained_student_was_scored_in_int8_and_fp32(trained: Path):
    student = students.load(trained)
    validation = student.metrics["validation"]
    assert validation["int8"]["images"] == validation["fp32"]["images"] == 1
    assert 0 <= validation["int8"]["scores"]["dice"]["mean"] <= 1
    assert student.metrics["labels"] == "nuclei"
    assert student.scheme is not None


@pytest.mark.slow
def test_the_saved_student_computes_what_was_measured(trained: Path, config: Config):
    from distill import datasets
    from distill.evaluation.evaluate import score
    from distill.evaluation.predict import segmenting

    student = students.load(trained)
    data = datasets.open(config.data.validation[0], "val")
    for name, graph in (("int8", student.quantized()), ("fp32", student.graph())):
        scores = score(segmenting(graph, student.spec), student.spec, data, "nuclei").scores
        assert scores["dice"].mean == student.metrics["validation"][name]["scores"]["dice"]["mean"]


@pytest.mark.slow
def test_the_log_of_the_training_covers_both_phases(trained: Path):
    lines = (trained / "training.csv").read_text().splitlines()
    assert lines[0] == "phase,step,loss,loss_supervised,validation_dice"
    steps = [line.split(",")[:2] for line in lines[1:]]
    assert steps == [[phase, str(step)] for phase in ("float", "qat") for step in range(2, 13, 2)]
    assert [bool(line.split(",")[-1]) for line in lines[1:]] == [False, False, True, False, False, True] * 2


@pytest.mark.slow
def test_a_run_of_another_configuration_is_refused(trained: Path, config: Config, tmp_path: Path):
    work = tmp_path / "tiny.training"
    shutil.copytree(trained.with_name("tiny.training"), work)
    with pytest.raises(InputError, match="another configuration"):
        fit(replace(config, seed=4), tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == [work]


@pytest.mark.slow
def test_the_report_of_a_finished_training_is_made_again_in_no_time(trained: Path, config: Config, tmp_path: Path):
    shutil.copytree(trained.with_name("tiny.training"), tmp_path / "tiny.training")
    again = fit(config, tmp_path / "tiny")
    assert again.lineage.weights_sha256 == students.load(trained).lineage.weights_sha256


def test_a_folder_that_exists_is_refused(config: Config, tmp_path: Path):
    (tmp_path / "tiny").mkdir()
    with pytest.raises(InputError, match=re.escape("tiny.training")):
        fit(config, tmp_path / "tiny")


def test_what_a_run_left_that_was_killed_after_its_last_step_is_removed(config: Config, tmp_path: Path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / ".tiny.lock").touch()
    with pytest.raises(InputError, match="exists"):
        fit(config, tmp_path / "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_place_below_a_file_is_refused(config: Config, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        fit(config, tmp_path / "file" / "tiny")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": ("bbbc038:nowhere.zip",)}, "nowhere.zip"),
        ({"train": ("synthetic:1@1?size=64",), "validation": ("synthetic:1@1?size=64",)}, "validation images"),
        ({"labels": "cells", "train": ("folder:images",)}, "no labels 'cells'"),
    ],
)
def test_data_that_do_not_serve_leave_nothing_behind(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], said: str
):
    import numpy as np
    from PIL import Image

    for name in ("images", "labels"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(6):
            Image.fromarray(np.eye(64, dtype=np.uint8)).save(tmp_path / "images" / name / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=re.escape(said)):
        fit(replace(config, data=replace(config.data, **change)), tmp_path / "runs" / "tiny")
    assert sorted(tmp_path.rglob("*")) == before


def test_two_trainings_of_one_student_do_not_run_at_once(config: Config, tmp_path: Path):
    with only_run(tmp_path / "tiny"), pytest.raises(EdgescopeError, match="Another process is making"):
        fit(config, tmp_path / "tiny")
    assert not any(tmp_path.iterdir())
