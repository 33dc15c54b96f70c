"""Where things are kept, and for whom."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runtime import InputError
from runtime.system.cache_folder import locate, open_private

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")


def test_the_place_that_is_given_goes_before_the_variable_and_that_before_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("EDGESCOPE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME" if os.name == "posix" else "LOCALAPPDATA", str(tmp_path / "user"))
    assert locate("engines").is_relative_to(tmp_path / "user")
    monkeypatch.setenv("EDGESCOPE_CACHE", str(tmp_path / "variable"))
    assert locate("engines") == tmp_path / "variable" / "engines"
    assert locate("engines", tmp_path / "given") == tmp_path / "given" / "engines"


def test_a_home_is_a_home(monkeypatch: pytest.MonkeyPatch):
    assert locate("engines", Path("~/x")) == Path.home() / "x" / "engines"


@posix
def test_it_is_made_for_its_user_alone(tmp_path: Path):
    folder = open_private(tmp_path / "a" / "b")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    assert stat.S_IMODE(open_private(folder).stat().st_mode) == 0o700


@posix
def test_one_that_others_could_write_is_not_trusted_with_what_is_in_it(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o777)
    open_private(tmp_path / "a")
    (tmp_path / "a" / "x").touch()
    (tmp_path / "a").chmod(0o777)
    with pytest.raises(InputError, match="can be written by others"):
        open_private(tmp_path / "a")


@posix
def test_a_link_to_elsewhere_is_not_followed(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="not trusted"):
        open_private(tmp_path / "link")


def test_a_file_in_the_way_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        open_private(tmp_path / "file" / "engines")
