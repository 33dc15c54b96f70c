"""A model file that would end the process is tried in another one; the host only says so."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from runtime import EdgescopeError
from runtime.system import first_open

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = """
import ctypes, os, time
class Interpreter:
    def __init__(self, model_content, num_threads):
        self.content = model_content
    def allocate_tensors(self):
        if self.content == b"crash":
            ctypes.string_at(0)
        if self.content == b"exit":
            os._exit(3)
        if self.content == b"raise":
            raise ValueError("odd")
        if self.content == b"hang":
            time.sleep(1e6)
    def invoke(self):
        pass
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that does what the bytes of a model file say."""
    package = tmp_path / "made_up_litert"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("EDGESCOPE_CACHE", str(tmp_path / "cache"))
    return package.name


@pytest.mark.parametrize(("payload", "words"), [(b"crash", r"ends the process .*SIGSEGV"), (b"exit", "exit code 3")])
def test_a_file_that_ends_the_process_is_refused(library: str, payload: bytes, words: str):
    for _ in range(2):  # it is not noted as one that went well
        with pytest.raises(EdgescopeError, match=words):
            first_open.check(payload, library, "io")


def test_a_file_that_never_ends_is_refused(library: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(first_open, "PATIENCE_S", 3.0)
    with pytest.raises(EdgescopeError, match="took longer than 3 s"):
        first_open.check(b"hang", library, "io")


def test_a_refusal_by_an_exception_is_left_to_the_host(library: str):
    first_open.check(b"raise", library, "io")


def test_a_file_that_went_well_is_tried_once(library: str, monkeypatch: pytest.MonkeyPatch):
    first_open.check(b"fine", library, "io")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was tried again"))
    first_open.check(b"fine", library, "io")


def test_a_host_that_may_start_no_process_opens_it_all_the_same(
    library: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no more processes")

    monkeypatch.setattr(subprocess, "run", refuse)
    first_open.check(b"fine", library, "io")
    assert "was not tested in a child process" in caplog.text
