"""The edge of all four command lines: help, version, interruption, a reader that goes away, progress in a log."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.__main__ import main as runtime_main
from runtime.commands import command_line
from runtime.commands.output import told_each_minute

PACKAGES = ("distill", "compile", "runtime", "benchmarks")


def run(*arguments: str, stdout: int | None = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_version_is_that_of_the_distribution(package: str):
    said = run(package, "--version")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("edgescope ") and package in said.stdout


@pytest.mark.parametrize(
    "call",
    [("benchmarks", "choose"), ("runtime", "predict"), ("distill", "fit"), ("compile",)],
    ids=lambda call: call[0],
)
def test_short_help_has_an_example_to_copy(call: tuple[str, ...]):
    said = run(*call, "-h")
    assert said.returncode == 0
    assert f"  python -m {' '.join(call)} " in said.stdout.partition("Example:\n")[2]


def test_a_command_that_does_not_exist_names_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert runtime_main(["predit"]) == 2
    assert "There is no command 'predit'" in (said := capsys.readouterr().err)
    assert "Did you mean 'predict'?" in said


@pytest.mark.parametrize("package", ["runtime", "benchmarks"])
def test_a_reader_that_goes_away_leaves_no_message(package: str, tmp_path: Path):
    reading, writing = os.pipe()
    os.close(reading)
    errors = tmp_path / "errors"
    with errors.open("wb") as stderr:
        code = subprocess.run([sys.executable, "-m", package, "--help"], stdout=writing, stderr=stderr).returncode
    os.close(writing)
    assert code in (0, 141)
    assert errors.read_text() == ""


def test_an_interruption_is_130_whatever_a_library_made_of_it(capsys: pytest.CaptureFixture[str]):
    def interrupted(**how: object) -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("Aborted!") from error

    assert command_line.run(lambda: interrupted, "distill", "distill", []) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_long_work_says_where_it_is_in_a_log(capsys: pytest.CaptureFixture[str]):
    with told_each_minute("measuring", 3, every_s=0.02) as tell:
        tell("first")
        tell("second")
        time.sleep(0.1)
    assert "measuring: step 2 of 3, second, after 0 min\n" in capsys.readouterr().err


def test_short_work_says_nothing_in_a_log(capsys: pytest.CaptureFixture[str]):
    with told_each_minute("measuring", 3) as tell:
        tell("first")
    assert capsys.readouterr().err == ""
