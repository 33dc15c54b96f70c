"""Atomic writing: the old content or the new, and nothing else beside it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runtime.errors import InputError
from runtime.system import atomic

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_written_and_replaced_with_its_folder_made(tmp_path: Path):
    path = tmp_path / "new" / "a.json"
    for content in (b"one", b"two"):
        atomic.write_bytes(path, content)
        assert path.read_bytes() == content
    assert names(path.parent) == ["a.json"]


def test_a_folder_replaces_a_folder(tmp_path: Path):
    path = tmp_path / "a"
    for name in ("one", "two"):
        with atomic.replacing(path) as partial:
            partial.mkdir()
            (partial / name).touch()
    assert names(path) == ["two"]
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_the_old_content(tmp_path: Path, error: type[BaseException]):
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(error), atomic.replacing(path) as partial:
        partial.mkdir()
        (partial / "half").touch()
        raise error
    assert names(path) == ["old"]
    assert names(tmp_path) == ["a"]


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path: Path):
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(FileNotFoundError), atomic.replacing(path):
        pass  # nothing was written
    assert names(path) == ["old"]
    assert names(tmp_path) == ["a"]


def test_sweeping_removes_only_leftovers_of_this_name(tmp_path: Path):
    for name in ("a", ".a.partial-1", ".a.old-1", ".ab.partial-1", ".a.other", "a.partial-1"):
        (tmp_path / name).touch()
    atomic.sweep(tmp_path / "a")
    assert names(tmp_path) == [".a.other", ".ab.partial-1", "a", "a.partial-1"]


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path: Path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "precious").touch()
    with pytest.raises(InputError, match=r"results is a folder, and a file was to be written"):
        atomic.write_bytes(folder, b"{}")
    assert names(tmp_path) == ["results"]
    assert names(folder) == ["precious"]


def test_a_place_below_a_file_is_the_wrong_input(tmp_path: Path):
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match=r"cannot be written: .*; give another place"):
        atomic.write_bytes(tmp_path / "a" / "deeper" / "b", b"")


def test_a_folder_that_may_not_be_written_is_the_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(atomic.os, "access", lambda folder, mode: False)  # whatever root may do
    with pytest.raises(InputError, match="permission denied"):
        atomic.write_bytes(tmp_path / "b", b"")
    assert names(tmp_path) == []


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for on POSIX alone")
def test_what_dead_processes_of_this_computer_left_in_a_folder_is_removed(tmp_path: Path):
    mine, dead, here = os.getpid(), dead_process(), atomic._computer()
    kept = [f".a.partial-{here}.{mine}-00000000", f".a.partial-ffffffff.{dead}-00000000", ".a.partial-1", ".b", "c"]
    for name in (*kept, f".a.partial-{here}.{dead}-00000000", f".c.old-{here}.{dead}-00000000"):
        (tmp_path / name).touch()
    atomic.sweep_folder(tmp_path)
    assert names(tmp_path) == sorted(kept)


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for on POSIX alone")
def test_what_a_dead_process_had_moved_aside_goes_back_to_its_place(tmp_path: Path):
    folder = tmp_path / f".a.old-{atomic._computer()}.{dead_process()}-00000000"
    folder.mkdir()
    (folder / "whole").touch()
    atomic.sweep_folder(tmp_path)
    assert (tmp_path / "a" / "whole").exists()


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for on POSIX alone")
def test_the_next_process_that_writes_in_a_folder_removes_what_dead_ones_left(tmp_path: Path):
    left = tmp_path / f".other.json.partial-{atomic._computer()}.{dead_process()}-00000000"
    left.touch()
    atomic.write_bytes(tmp_path / "a.json", b"{}")
    assert names(tmp_path) == ["a.json"]
    left.touch()
    atomic.write_bytes(tmp_path / "a.json", b"{}")  # looked for once: a folder may hold many files
    assert left.exists()


def test_a_long_name_is_written(tmp_path: Path):
    path = tmp_path / ("x" * 250)
    atomic.write_bytes(path, b"1")
    atomic.write_bytes(path, b"2")
    assert path.read_bytes() == b"2"
    assert names(tmp_path) == [path.name]


def test_a_folder_that_is_not_there_needs_no_sweep(tmp_path: Path):
    atomic.sweep_folder(tmp_path / "gone")
    assert names(tmp_path) == []


def test_a_full_disk_is_told_with_the_file_that_was_to_be_written(tmp_path: Path):
    with pytest.raises(OSError, match="No space left") as caught, atomic.replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_make_a_folder_the_first_one_stays(tmp_path: Path):
    with atomic.adding(tmp_path / "it") as late, atomic.adding(tmp_path / "it") as early:
        for folder, words in ((late, "late"), (early, "early")):
            folder.mkdir()
            (folder / "file").write_text(words)
    assert (tmp_path / "it" / "file").read_text() == "early"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_folder_that_failed_is_not_added(tmp_path: Path):
    def fail() -> None:
        with atomic.adding(tmp_path / "it") as partial:
            partial.mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
