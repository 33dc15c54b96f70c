"""Building the library: for this computer, for others, and what is said when that is not possible."""

from __future__ import annotations

import ctypes
import importlib.util
from typing import TYPE_CHECKING

import pytest

from runtime import kernel
from runtime.kernel import build

if TYPE_CHECKING:
    from pathlib import Path


def test_the_library_of_this_computer_has_the_version_of_its_binding(tmp_path: Path):
    tag = build.build(tmp_path / "new" / build.library_name())
    assert ctypes.CDLL(str(tmp_path / "new" / build.library_name())).edgescope_version() == kernel.VERSION
    assert tag != "any"
    assert [path.name for path in (tmp_path / "new").iterdir()] == [build.library_name()]


def test_the_binding_loads_what_is_built():
    assert build.library_name() == kernel.LIBRARY.name
    assert not build.is_stale()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="needs the package ziglang")
@pytest.mark.parametrize(
    ("name", "magic"), [("linux-aarch64", b"\x7fELF"), ("windows-x86_64", b"MZ"), ("macos-arm64", b"\xcf\xfa\xed\xfe")]
)
def test_zig_builds_for_other_platforms(name: str, magic: bytes, tmp_path: Path):
    out = tmp_path / build.PLATFORMS[name].library
    assert build.build(out, name) == build.PLATFORMS[name].tag
    assert out.read_bytes().startswith(magic)
    assert out.stat().st_size < 200_000


def test_without_a_compiler_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "system_compiler", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(RuntimeError, match=r"install one, or the package ziglang: pip install ziglang"):
        build.build(tmp_path / "library")


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "SOURCES", ("none.c",))
    with pytest.raises(RuntimeError, match=r"(?s)The C compiler failed on .*none\.c"):
        build.build(tmp_path / "library")
    assert not list(tmp_path.iterdir())


def test_a_platform_that_is_not_known_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="'amiga' is not known; choose one of linux-x86_64"):
        build.build(tmp_path / "library", "amiga")


def test_a_wheel_for_another_platform_needs_zig(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "system_compiler", lambda: "/usr/bin/cc")
    monkeypatch.delenv(build.ASKED, raising=False)
    assert build.requirements() == []
    monkeypatch.setenv(build.ASKED, "windows-x86_64")
    assert build.requirements() == ["ziglang>=0.15"]
