"""The wheel of ready artefacts."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from runtime import InputError, open_artifact
from runtime.artifact import installed
from tools.ready import make


@pytest.mark.slow
def test_what_the_wheel_holds_has_its_name_where_it_is_installed(
    write_tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    artifact = write_tiny()
    wheel = make([artifact], tmp_path / "dist")
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path / "site")
    assert artifact.name in installed.listed()
    opened = open_artifact(Path(artifact.name))
    assert opened.path == tmp_path / "site" / "edgescope_artifacts" / artifact.name
    assert opened.files == open_artifact(artifact).files
    assert "edgescope_artifacts" not in sys.modules  # it is never imported


def test_a_damaged_artefact_and_two_of_one_name_make_no_wheel(write_tiny, tmp_path: Path):
    artifact = write_tiny()
    shutil.copytree(artifact, tmp_path / "other" / artifact.name)
    with pytest.raises(InputError, match="two artefacts of one name"):
        make([artifact, tmp_path / "other" / artifact.name], tmp_path / "dist")
    next(artifact.glob("model*")).write_bytes(b"changed")
    with pytest.raises(InputError, match=r"model.*has 7 bytes, and was written with"):
        make([artifact], tmp_path / "dist")
    assert not (tmp_path / "dist").exists()
