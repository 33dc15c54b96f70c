"""The installed scripts complete commands and options in a shell, by the library of their command lines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CALL = "import sys; from {package}.__main__ import main; sys.argv[0] = {name!r}; sys.exit(main())"


def call(package: str, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program, as a script of this name starts it."""
    command = [sys.executable, "-c", CALL.format(package=package, name=name), *arguments]
    environ = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("package", "script", "typed", "offered"),
    [
        ("benchmarks", "edgescope-bench", "comp", "compare"),
        ("distill", "edgescope-distill", "ada", "adapt"),
        ("compile", "edgescope-compile", "--prec", "--precision"),
    ],
)
def test_a_shell_completes_what_was_typed(package: str, script: str, typed: str, offered: str):
    variable = f"_{script.upper().replace('-', '_')}_COMPLETE"
    asked = {variable: "complete_bash", "COMP_WORDS": f"{script} {typed}", "COMP_CWORD": "1"}
    assert call(package, script, **asked).stdout.split() == [offered]


def test_a_module_cannot_be_completed_and_does_not_offer_it():
    assert "--show-completion" in call("benchmarks", "/usr/bin/edgescope-bench", "--help").stdout
    assert "completion" not in call("benchmarks", "benchmarks/__main__.py", "--help").stdout
