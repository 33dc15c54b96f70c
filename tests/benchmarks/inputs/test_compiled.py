"""Artefacts that are compiled by a command, and kept until what they are made of changes."""

import shutil
from pathlib import Path

import pytest

from benchmarks.inputs import compiled
from benchmarks.inputs.compiled import compile_artifact, student_folder
from runtime.errors import InputError
from runtime.system import programs

CALL = ("intel", "fp32", (64, 64))


@pytest.mark.slow
def test_a_student_is_compiled_once_and_again_when_its_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    student = tmp_path / "student"
    shutil.copytree(student_folder("nuclei-fast"), student)
    first = compile_artifact(str(student), *CALL, tmp_path / "artifacts")
    assert first.manifest.precision == "fp32"
    calls: list[list[str]] = []
    monkeypatch.setattr(programs, "run", lambda command, **how: calls.append(command) or programs.Ended([], 1, "", ""))
    assert compile_artifact(str(student), *CALL, tmp_path / "artifacts").path == first.path
    (student / "CARD.md").write_text("trained again")
    with pytest.raises(compiled.EdgescopeError):
        compile_artifact(str(student), *CALL, tmp_path / "artifacts")
    assert len(calls) == 1


def test_what_the_compiler_refuses_is_told_as_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for code, kind in ((2, InputError), (1, compiled.EdgescopeError)):
        ended = programs.Ended([], code, "", "error: no such operator\n")
        monkeypatch.setattr(programs, "run", lambda command, ended=ended, **how: ended)
        with pytest.raises(compiled.EdgescopeError, match="no such operator") as raised:
            compile_artifact("nuclei-fast", *CALL, tmp_path)
        assert type(raised.value) is kind


def test_a_student_that_is_nowhere_is_refused():
    with pytest.raises(InputError, match="neither bundled"):
        student_folder("nobody")
