"""A configuration written as TOML is read back as it was, without anybody's paths."""

from dataclasses import replace
from pathlib import Path

import pytest
import tomllib

from distill import settings as config
from distill.config.files import portable, write

BUNDLED = Path(config.__file__).parent / "pretrained" / "nuclei-fast" / "config.toml"


def test_what_is_written_is_read_back(tmp_path: Path):
    before = config.load(BUNDLED, ["student.name='quote \" and \\'", "float.learning_rate=2e-7", "data.record=''"])
    before = replace(before, data=replace(before.data, train=("bbbc038:a.zip",), validation=("folder:b",), share=()))
    (tmp_path / "config.toml").write_text(write(before), encoding="utf-8")
    assert config.load(tmp_path / "config.toml") == before


def test_paths_are_reduced_to_their_last_name():
    before = config.load(BUNDLED, ['data.train=["bbbc038:/home/someone/stage1.zip", "synthetic:3@1?size=64"]'])
    text = write(replace(before, data=replace(before.data, share=())))
    assert "someone" not in text
    assert tomllib.loads(text)["data"]["train"] == ["bbbc038:stage1.zip", "synthetic:3@1?size=64"]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("/home/someone/sam_vit_h.pth", "sam_vit_h.pth"),
        ("runs/teacher", "teacher"),
        ("C:\\weights\\sam.pth", "sam.pth"),
        ("probability:/home/someone/saved", "probability:saved"),
        ("labels:cells", "labels:cells"),
        ("", ""),
    ],
)
def test_what_a_teacher_is_made_of_is_written_without_its_path(given: str, written: str):
    before = config.load(BUNDLED)
    section = replace(before.teacher, name="masks", weights=given, undistilled=("/home/someone/runs/alone",))
    text = write(replace(before, teacher=section))
    assert f'weights = "{written}"' in text
    assert "someone" not in text


def test_options_of_a_loss_are_read_back(tmp_path: Path):
    before = config.load(BUNDLED)
    loss = replace(before.loss, matching="hinton", matching_options={"temperature": 2.5, "odd key": [1, True]})
    before = replace(
        before, loss=loss, teacher=replace(before.teacher, name="unet"), data=replace(before.data, share=())
    )
    (tmp_path / "config.toml").write_text(write(before), encoding="utf-8")
    assert config.load(tmp_path / "config.toml").loss == loss


def test_a_study_is_not_written():
    assert "study" not in write(config.load(BUNDLED, ["study.seeds=7"]))


@pytest.mark.parametrize(
    ("spec", "short"),
    [
        ("bbbc038:/data/x/stage1.zip", "bbbc038:stage1.zip"),
        ("folder:/data/x/", "folder:x"),
        (r"tissuenet:C:\data\tissue", "tissuenet:tissue"),
        ("synthetic:300@1?size=64x96", "synthetic:300@1?size=64x96"),
        ("bbbc038:/data/x/stage1.zip?split=groups", "bbbc038:stage1.zip?split=groups"),
        ("bbbc038:/data/stage1/?split=groups", "bbbc038:stage1?split=groups"),
        ("multiplex:fields/?licence=CC0/1.0", "multiplex:fields?licence=CC0/1.0"),
        (r"bbbc038:C:\data\stage1.zip?split=groups", "bbbc038:stage1.zip?split=groups"),
        ("", ""),
    ],
)
def test_a_portable_spec(spec: str, short: str):
    assert portable(spec) == short
