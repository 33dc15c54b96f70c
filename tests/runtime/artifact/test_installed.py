"""Artefacts by name: from folders, and from distributions that bring them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from runtime import InputError, LiveSegmenter, Segmenter, open_artifact
from runtime.artifact import installed


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without artefacts."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv(installed.VARIABLE, raising=False)
    return folder


def distribution(folder: Path, artifact: Path) -> Path:
    """A folder for sys.path with a distribution that brings this artefact."""
    package, info = folder / "their_artifacts", folder / "their_artifacts-1.0.dist-info"
    shutil.copytree(artifact, package / "theirs-intel-int8")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-artifacts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgescope.artifacts]\ntheirs = their_artifacts\n")
    return folder


def test_a_name_is_that_of_a_folder_or_zip_in_the_named_folders(
    artifact_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(artifact_path, tmp_path / "one" / "a")
    shutil.make_archive(str(tmp_path / "two" / "b"), "zip", artifact_path)
    (tmp_path / "one" / "notes").mkdir()
    monkeypatch.setenv(installed.VARIABLE, f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}")
    assert installed.listed() == {"a": tmp_path / "one" / "a", "b": tmp_path / "two" / "b.zip"}
    assert open_artifact(Path("b")).path == tmp_path / "two" / "b.zip"
    with Segmenter.open("a") as segment:
        assert segment.backend


def test_what_a_distribution_brings_has_a_name_everywhere(
    artifact_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(distribution(tmp_path / "site", artifact_path))
    assert list(installed.listed()) == ["theirs-intel-int8"]
    with LiveSegmenter("theirs-intel-int8", spare=False) as live:
        assert live.backend


def test_what_is_there_and_what_is_nearer_goes_first(
    artifact_path: Path, tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(distribution(tmp_path / "site", artifact_path))
    name = "theirs-intel-int8"
    shutil.copytree(artifact_path, work / "artifacts" / name)
    assert installed.listed()[name] == Path("artifacts", name)
    (work / name).mkdir()
    assert installed.resolve(Path(name)) == Path(name)
    assert installed.resolve(Path("elsewhere", name)) == Path("elsewhere", name)


def test_a_missing_artefact_is_told_with_what_there_is(artifact_path: Path, work: Path):
    with pytest.raises(InputError, match=r"gone: it does not exist.*make artifacts"):
        open_artifact(Path("gone"))
    shutil.copytree(artifact_path, work / "artifacts" / "near")
    with pytest.raises(InputError, match=r"gone: it does not exist\. Here are near"):
        open_artifact(Path("gone"))
