"""The command `label`: what it prints and writes, and what it refuses before the work."""

import json
from pathlib import Path

import pytest

pytest.importorskip("zarr")

from distill.__main__ import main
from distill.teaching.label import Account, _clock
from distill.teaching.soft_labels import SoftLabel

CONFIG = """
[data]
train = ["synthetic:6@1?size=96"]
validation = ["synthetic:8@2?size=96"]
crop = 64
[teacher]
name = "masks"
weights = "labels:cells"
store = "soft.zarr"
options = { soften = 1.0 }
"""
TRAIN, BOTH = 5, 7  # of six and eight, some are for validation


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)

    def run(*arguments: str):
        capsys.readouterr()
        code = main(["label", "config.toml", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_it_labels_the_training_data_and_says_how_it_went(call, tmp_path: Path):
    code, out, err = call("--json", "found.json")
    assert code == 0, err
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["images"], found["skipped"], found["computed"]) == (TRAIN, 0, TRAIN)
    assert found["bytes"] > 0
    assert found["images_per_second"] > 0
    assert found["peak_rss_bytes"] > 1e7
    assert 0 < found["rounding_rms"] <= found["rounding_max"] <= 0.5 / 255 + 1e-6
    assert out.startswith(f"masks: {TRAIN} images, 0 skipped (stored before), ")
    assert out.count("\n") == 1
    for part in ("images/s", "MB written to soft.zarr", "peak memory", "8 bits are off by 0.00"):
        assert part in out
    assert f"label: {TRAIN} of {TRAIN} images" in err
    assert "ETA" in err


def test_a_second_run_skips_what_is_there_and_the_validation_data_join_in(call):
    call()
    _, out, _ = call()
    assert f"{TRAIN} images, {TRAIN} skipped (stored before), nothing to compute" in out
    _, out, _ = call("--validation")
    assert f"{BOTH} images, {TRAIN} skipped" in out


def test_check_computes_nothing_and_counts(call, tmp_path: Path):
    code, out, _ = call("--check", "--validation", "--json", "found.json")
    assert code == 0
    assert not (tmp_path / "soft.zarr").exists()
    assert f"synthetic:6@1?size=96 (train): {TRAIN} images have what masks wants; 0 are stored" in out
    assert json.loads((tmp_path / "found.json").read_text())["data"]["synthetic:8@2?size=96 (val)"]["images"] == 2
    call()
    assert f"{TRAIN} are stored" in call("--check")[1]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("teacher.name=", "add [teacher] name = one of"),
        ("teacher.name=oracle", "There is no teacher 'oracle'"),
        ("teacher.weights=nowhere", "There are no masks 'nowhere'"),
        ("teacher.weights=labels:mitochondria", "no labels 'mitochondria'"),
        ("teacher.membrane=shuffled", "no channel besides the nucleus"),
        ("teacher.store=config.toml", "is no store of soft labels"),
        ("teacher.store=config.toml/soft.zarr", "cannot be written"),
        ('data.train=["folder:nowhere"]', "nowhere"),
    ],
)
@pytest.mark.parametrize("check", [(), ("--check",)])
def test_what_cannot_be_labelled_is_one_line_and_exit_2(call, tmp_path: Path, setting: str, said: str, check):
    code, _, err = call("--set", setting, *check)
    assert code == 2
    assert said in err
    assert err.count("error: ") == 1
    assert not (tmp_path / "soft.zarr").exists()


def test_check_says_all_that_is_missing_at_once(call):
    missing = ("teacher.weights=nowhere", "data.train=['folder:here']", "data.validation=['multiplex:there']")
    code, _, err = call("--check", "--validation", *(part for one in missing for part in ("--set", one)))
    assert code == 2
    for said in ("There are no masks 'nowhere'", "'here' does not exist", "'there' does not exist"):
        assert said in err


def test_the_account_knows_speed_and_what_is_left():
    account = Account("sam", "soft.zarr")
    label = SoftLabel(0, "a", None, computed=True, rounding=(0.002, 1e-6), bytes=100)  # type: ignore[arg-type]
    for seconds in (30.0, 50.0):
        account.add(label, seconds)
    account.add(SoftLabel(1, "b", None, computed=False), 0.1)  # type: ignore[arg-type]
    assert account.images_per_second == 2 / 80
    assert account.rounding_rms == pytest.approx(1e-3)
    assert account.where(13) == "0.025 images/s, ETA 6:40, 1 stored before"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (7384, "2:03:04")])
def test_a_duration_is_read_like_a_clock(seconds: float, text: str):
    assert _clock(seconds) == text


def test_head_trains_and_says_where_it_is(call, sam_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    settings = [
        "teacher.name=sam",
        f"teacher.weights={sam_weights}",
        "teacher.options={size='vit_b'}",
        "teacher.device=cpu",
    ]
    settings += ["float.steps=2", "float.batch=2", "trainer.interval=2", "qat.steps=2", "data.labels=cells"]
    options = [part for setting in settings for part in ("--set", setting)]
    code = main(["head", "config.toml", "--out", "head", *options])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert said.out.startswith("the head is in head: validation Dice ")
    assert "head: step 2 of 2, loss" in said.err
    head = ["teacher.name=head", "teacher.weights=head", "teacher.device=cpu", "teacher.options={}"]
    code, out, _ = call(*(part for setting in head for part in ("--set", setting)))
    assert code == 0
    assert out.startswith(f"head: {TRAIN} images, 0 skipped")
