"""Errors: one line on standard error, the right exit code, and a traceback only if asked."""

from __future__ import annotations

import pytest

from runtime.errors import BudgetMissed, EdgescopeError, InputError, Interrupted, did_you_mean, enough_memory, report


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("no\nsuch  file"), 2, "error: no such file\n"),
        (EdgescopeError("it failed"), 1, "error: it failed\n"),
        (BudgetMissed("too bad"), 1, "error: too bad\n"),
        (Interrupted("run it again"), 130, "error: run it again\n"),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (PermissionError(13, "Permission denied", "a.tif"), 1, "error: Permission denied: a.tif\n"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device\n"),
        (MemoryError(), 1, "error: There was not enough memory: none was left.\n"),
        (MemoryError("Unable to allocate 9 GiB"), 1, "error: There was not enough memory: Unable to allocate 9 GiB.\n"),
        (RuntimeError("can't start new thread"), 1, "error: There was not enough memory: can't start new thread.\n"),
        (
            OSError("9 requested and 2 written"),
            1,
            "error: a file could not be read or written in full: 9 requested and 2 written\n",
        ),
        (KeyError("x"), 1, "error: internal: KeyError: 'x'; run again with --debug\n"),
    ],
)
def test_an_error_is_one_line_and_a_code(error, code: int, line: str, capsys: pytest.CaptureFixture[str]):
    assert report(error, debug=False) == code
    assert capsys.readouterr() == ("", line)


def test_debug_shows_the_traceback_before_the_line(capsys: pytest.CaptureFixture[str]):
    try:
        raise InputError("wrong")
    except InputError as error:
        report(error, debug=True)
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("error: wrong\n")


def test_a_wrong_input_is_a_value_error_to_callers():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, EdgescopeError)


def test_the_nearest_name_is_proposed_and_none_that_is_far():
    assert did_you_mean("nuclei-fst", ["nuclei-fast", "tissue"]) == " Did you mean 'nuclei-fast'?"
    assert did_you_mean("xyz", ["nuclei-fast", "tissue"]) == ""


def test_only_missing_memory_and_threads_are_told_as_such():
    for error in (MemoryError("x"), RuntimeError("can't start new thread")):
        with (
            pytest.raises(EdgescopeError, match=f"There is not enough memory to do it: {error}."),
            enough_memory("to do it"),
        ):
            raise error
    with pytest.raises(RuntimeError, match=r"^another$"), enough_memory("to do it"):
        msg = "another"
        raise RuntimeError(msg)
