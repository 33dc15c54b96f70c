"""`python -m distill study`: what it prints and writes, and what it refuses."""

import json
from pathlib import Path

import pytest

from distill.__main__ import main
from runtime.system.lock import only_run

CONFIG = '[data]\ntrain = ["synthetic:6@1?size=64"]\nvalidation = ["synthetic:6@1?size=64"]\ncrop = 64\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(*settings: str) -> list[str]:
    return ["study", "tiny.toml", *(part for one in settings for part in ("--set", one))]


def test_a_study_without_a_teacher_runs_to_its_three_files(here: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*study("study.rows=['threshold']", "study.title=A [b] c"), "--json", "found.json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("A [b] c\n")
    assert "threshold, " in out
    assert {path.name for path in (here / "runs" / "tiny").iterdir()} == {"study.json", "study.md", "study.png"}
    assert json.loads((here / "found.json").read_text()) == json.loads((here / "runs/tiny/study.json").read_text())


def test_two_studies_do_not_run_in_one_folder(here: Path, capsys: pytest.CaptureFixture[str]):
    with only_run(here / "runs" / "tiny"):
        assert main(study("study.rows=['threshold']")) == 1
    assert "Another process is making runs/tiny; wait for it" in capsys.readouterr().err
    assert not (here / "runs" / "tiny").exists()


def test_each_row_is_one_line_where_there_is_no_terminal(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(study("study.rows=['threshold']"))
    out = capsys.readouterr().out.splitlines()
    rows = [line for line in out if line.startswith("threshold, ")]
    assert [row.count("0.") for row in rows] == [1, 2]  # Dice in the main table, boundary F1 and IoU in the other
    assert any("gain, points (95 %)" in line and "GMAC" in line for line in out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["study", "none.toml"], "There is no configuration none.toml"),
        ([*study(), "--seeds", "0"], "--seeds is 0; give at least 1"),
        ([*study(), "--workers", "0"], "--workers"),
        (study("study.rows=['magic']"), "Unknown row 'magic'"),
        (study("study.rows=['paper']"), "Row 'paper' needs a teacher"),
        (study("study.test=['folder:nowhere']", "study.rows=['threshold']"), "'nowhere' does not exist"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
):
    before = sorted(here.rglob("*"))
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(("option", "count"), [((), 3), (("--seeds", "5"), 5)])
def test_seeds_are_those_of_the_configuration_or_of_the_call(
    here: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, ...], count: int
):
    assert main([*study("study.rows=['undistilled']"), *option, "--check"]) == 0
    assert f"ok: {count} trainings, 0 of them done" in capsys.readouterr().out
