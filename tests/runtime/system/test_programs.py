"""Programs that are run to their end: what they print, and the line that says why they failed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.errors import EdgescopeError
from runtime.system import programs


def ended(code: int, errors: str = "", output: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, output, errors)


@pytest.mark.parametrize(
    ("process", "reason"),
    [
        (ended(1, "warning\nerror: no such thing\nbye"), "no such thing"),
        (ended(1, "WARNING: x\nERROR: no such package\nnotice: y\n"), "ERROR: no such package"),
        (
            ended(1, "ERROR: Exception:\nTraceback\nOSError: No space left on device\n"),
            "OSError: No space left on device",
        ),
        (ended(1, "", "on standard output"), "on standard output"),
        (ended(-9), "it was killed by SIGKILL; was there enough memory?"),
        (ended(-11, "a warning"), "it was killed by SIGSEGV"),
        (ended(3221225477), "it ended with exit code 3221225477 and no message"),
    ],
)
def test_every_end_has_a_reason(process: subprocess.CompletedProcess[str], reason: str):
    assert programs.failure(process) == reason


def test_a_program_that_fails_raises_what_it_said():
    with pytest.raises(EdgescopeError, match=r"^no luck$"):
        programs.run_or_raise([sys.executable, "-c", "import sys; sys.exit('error: no luck')"])


def test_a_program_that_takes_too_long_is_told():
    with pytest.raises(EdgescopeError, match="took longer than"):
        programs.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)


def test_what_is_not_installed_or_fails_tells_nothing():
    assert programs.ask("no-such-program-anywhere") is None
    assert programs.ask(sys.executable, "-c", "raise SystemExit(3)") is None
    assert programs.ask(sys.executable, "-c", "print(' words ')") == "words"
