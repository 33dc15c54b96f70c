"""The course of a training from the logs of all its runs."""

from pathlib import Path

import pytest

from distill.training.history import read_history, to_csv


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    texts = {
        "float/version_0": "epoch,step,train/bce,train/loss,val/dice\n0,9,0.4,0.9,\n0,19,0.3,0.8,\n1,29,0.2,9.0,\n",
        "float/version_2": "epoch,step,train/bce,train/loss,val/dice\n1,29,0.2,0.7,\n1,29,,,0.5\n",
        "float/version_10": "epoch,step,train/bce,train/loss,val/dice\n1,39,0.1,0.6,\n",
        "qat/version_0": "epoch,step,train/bce,train/loss\n0,9,0.1,0.2\n",
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.csv").write_text(text)
    return tmp_path


def test_runs_are_merged_and_the_last_one_counts(logs: Path):
    history = read_history(logs)
    assert [(moment.phase, moment.step) for moment in history] == [
        *(("float", step) for step in (10, 20, 30, 40)),
        ("qat", 10),
    ]
    assert history[2].values == {"train/bce": 0.2, "train/loss": 0.7, "val/dice": 0.5}


def test_the_table(logs: Path):
    lines = to_csv(read_history(logs)).splitlines()
    assert lines[0] == "phase,step,loss,loss_bce,validation_dice"
    assert lines[1] == "float,10,0.9,0.4,"
    assert lines[3] == "float,30,0.7,0.2,0.5"
    assert lines[-1] == "qat,10,0.2,0.1,"


def test_without_logs_there_is_no_history(tmp_path: Path):
    assert read_history(tmp_path) == []
    assert to_csv([]) == "phase,step\n"


def test_an_empty_log_of_a_killed_run_is_passed_over(logs: Path):
    (logs / "float" / "version_11").mkdir()
    (logs / "float" / "version_11" / "metrics.csv").write_text("")
    (logs / "float" / "version_12").mkdir()
    assert len(read_history(logs)) == 5
