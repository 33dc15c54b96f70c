"""Whether a result can be written is told before the work that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.errors import InputError
from runtime.system.places import check_file, check_writable

if TYPE_CHECKING:
    from pathlib import Path


def test_a_place_is_asked_for_and_nothing_is_written(tmp_path: Path):
    (tmp_path / "file").touch()
    check_file(tmp_path / "new" / "a.json", tmp_path / "file", None)
    check_writable(tmp_path / "new" / "folder", "choose another")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is a folder; give a file"):
        check_file(tmp_path)


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="is a file, no folder; choose another"):
            check_writable(wrong, "choose another")
    with pytest.raises(InputError, match="is a file, no folder; give another place"):
        check_file(tmp_path / "file" / "a.json")
