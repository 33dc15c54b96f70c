"""What `completion` prints makes a shell complete commands, options and their values, and leave the rest to files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from runtime.__main__ import COMMANDS, main, make_parser

BASH = """
{printed}
COMP_WORDS=({typed}) COMP_CWORD={at}
_edgescope_run
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def options_of(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """All options of a command, by its own usage."""
    with pytest.raises(SystemExit):
        make_parser().parse_args([command, "--help"])
    usage = capsys.readouterr().out.partition(f"{command}: ")[0]
    return {"--help", *re.findall(r"--[a-z0-9-]+", usage)}


@pytest.fixture
def offered(capsys: pytest.CaptureFixture[str]):
    """offered("predict", "--ob") -> the words that bash offers for the last one."""
    if sys.platform == "win32" or not shutil.which("bash"):
        pytest.skip("there is no bash")
    assert main(["completion", "bash"]) == 0
    printed = capsys.readouterr().out

    def ask(*words: str) -> set[str]:
        typed = " ".join(f"'{word}'" for word in ("edgescope-run", *words))
        script = BASH.format(printed=printed, typed=typed, at=len(words))
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return set(done.stdout.split())

    return ask


def test_commands_are_completed(offered):
    assert offered("") == {command.NAME for command in COMMANDS} | {"--help", "--version"}
    assert offered("pre") == {"predict", "prewarm"}


@pytest.mark.parametrize("command", [command.NAME for command in COMMANDS])
def test_every_option_of_every_command_is_completed(offered, command: str, capsys: pytest.CaptureFixture[str]):
    known = options_of(command, capsys)
    assert len(known) > 2
    assert offered(command, "--") == known


def test_values_are_completed_where_there_are_few(offered):
    assert offered("predict", "A", "I", "--objects", "") == {"csv", "geojson", "parquet"}
    assert offered("completion", "") == {"bash", "zsh", "fish"}


def test_anything_else_is_left_to_files(offered):
    assert offered("predict", "art") == set()
    assert offered("predict", "A", "I", "--out", "ma") == set()
    assert offered("nothing", "--") == set()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_what_is_printed(shell: str, capsys: pytest.CaptureFixture[str]):
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert "edgescope-run" in printed
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")
    ask = "complete -C 'edgescope-run pre'" if shell == "fish" else "print $_comps[edgescope-run]"
    done = subprocess.run([shell, "-c", f"{printed}\n{ask}"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert ("predict" in done.stdout) if shell == "fish" else ("bash_complete" in done.stdout)


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["completion", "csh"]) == 2
    assert "csh" in capsys.readouterr().err
