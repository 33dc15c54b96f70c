"""A configuration written as TOML is read back as it was, without anybody's paths."""

from dataclasses import replace
from pathlib import Path

import pytest

from distill import config
from distill.toml import portable, to_toml

BUNDLED = Path(config.__file__).parent / "pretrained" / "nuclei-mobilenetv3" / "config.toml"


def test_what_is_written_is_read_back(tmp_path: Path):
    before = config.load(BUNDLED, ["student.name='quote \" and \\'", "float.learning_rate=2e-7", "data.record=''"])
    before = replace(before, data=replace(before.data, train=("bbbc038:a.zip",), validation=("folder:b",), share=()))
    (tmp_path / "config.toml").write_text(to_toml(before), encoding="utf-8")
    assert config.load(tmp_path / "config.toml") == before


def test_paths_are_reduced_to_their_last_name():
    before = config.load(BUNDLED, ['data.train=["bbbc038:/home/someone/stage1.zip", "synthetic:3@1?size=64"]'])
    text = to_toml(replace(before, data=replace(before.data, share=())))
    assert "someone" not in text
    assert 'train = ["bbbc038:stage1.zip", "synthetic:3@1?size=64"]' in text


@pytest.mark.parametrize(
    ("spec", "short"),
    [
        ("bbbc038:/data/x/stage1.zip", "bbbc038:stage1.zip"),
        ("folder:/data/x/", "folder:x"),
        (r"tissuenet:C:\data\tissue", "tissuenet:tissue"),
        ("synthetic:300@1?size=64x96", "synthetic:300@1?size=64x96"),
        ("", ""),
    ],
)
def test_a_portable_spec(spec: str, short: str):
    assert portable(spec) == short
