"""A short part of `make adversarial`: some tries of each kind, and that the bench itself sees what goes wrong."""

from __future__ import annotations

import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import InputError
from tools.adversarial import damage
from tools.adversarial.__main__ import app
from tools.adversarial.bench import Kind, Leftover, Setup, dice_of, one, run
from tools.adversarial.kinds import KINDS

if sys.platform != "linux":
    pytest.skip("it looks into /proc", allow_module_level=True)
for library in ("onnx", "onnxruntime", "openvino", "tifffile", "torch", "zarr", "roifile", "PIL"):
    pytest.importorskip(library)

SEED = 23
TRIES = {
    "artifact": 60, "manifest": 15, "payload": 6, "probes": 10, "tiff": 80, "png": 40, "ome-xml": 30, "zarr": 30,
    "report": 10, "config": 30, "labels": 30, "tissuenet": 40, "store": 30, "message": 60,
}  # fmt: skip


@pytest.fixture
def setup(write_tiny, tmp_path: Path) -> Setup:
    """Two tiny artefacts, in a folder that the bench may fill."""
    places = (write_tiny("jetson"), write_tiny("intel"))
    folder = tmp_path / "bench"
    return Setup(folder, tuple(Path(shutil.copytree(path, folder / path.name)) for path in places), None)


def tried(name: str, setup: Setup, numbers) -> None:
    row = run(KINDS[name], SEED, numbers, setup, 1, time.monotonic() + 600)
    assert row.faults == {}
    assert row.counts.total() == len(numbers)


@pytest.mark.parametrize("name", TRIES)
def test_some_tries_of_each_kind_of_file_show_no_fault(setup: Setup, name: str):
    tried(name, setup, range(TRIES[name]))


@pytest.mark.slow
def test_bombs_are_refused_in_bounded_time_and_memory(setup: Setup):
    tried("bomb", setup, range(KINDS["bomb"].most))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kill-predict", "kill-segment", "kill-label"])
def test_after_kills_nothing_is_half_made_or_left(setup: Setup, name: str):
    tried(name, setup, range(1))


@pytest.mark.slow
def test_full_closed_short_and_hostile_worlds_end_in_one_error(setup: Setup):
    tried("world-predict", setup, range(10))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["latest", "block", "stop"])
def test_live_adds_up_after_kills_of_workers_spares_and_hosts(setup: Setup, policy: str):
    tried(f"live-{policy}", setup, (0, 2))


# The bench itself


def attempt_of(kind: Kind, act, tmp_path: Path) -> dict:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return one(kind, act, tmp_path, 0)


def raising(error: Exception, _folder: Path, _number: int) -> str:
    raise error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(InputError("no"), "refused"), (Leftover("x"), "left over"), (KeyError("x"), "internal")],
)
def test_what_is_thrown_is_an_outcome(tmp_path: Path, error: Exception, outcome: str):
    kind = Kind("k", "", lambda _: raising)
    assert attempt_of(kind, partial(raising, error), tmp_path)["outcome"] == outcome


def test_a_refusal_is_a_fault_where_nothing_is_spoilt(tmp_path: Path):
    kind = Kind("k", "", lambda _: raising, may_refuse=False)
    assert attempt_of(kind, partial(raising, InputError("no")), tmp_path)["outcome"] == "internal"


def test_what_is_left_in_the_folder_for_temporary_files_is_told(tmp_path: Path):
    def act(_folder: Path, _number: int) -> str:
        (tmp_path / "tmp" / "forgotten").touch()
        return "equal"

    assert attempt_of(Kind("k", "", lambda _: act), act, tmp_path)["outcome"] == "left over"


def test_memory_is_measured_for_each_try(tmp_path: Path):
    def act(_folder: Path, _number: int) -> str:
        np.ones(300 << 20, np.uint8)
        return "equal"

    kind = Kind("k", "", lambda _: act)
    assert 200 << 20 < attempt_of(kind, act, tmp_path)["peak"] < 500 << 20
    assert attempt_of(kind, lambda _folder, _number: "equal", tmp_path)["peak"] < 20 << 20


def test_the_same_number_spoils_the_same_way():
    data = bytes(range(256)) * 8
    spoilt = [damage.spoil(data, dice_of("tiff", 1, number)) for number in (5, 5, 6)]
    assert spoilt[0] == spoilt[1] != spoilt[2]


def test_crashes_and_hangs_are_told_and_the_child_is_replaced(setup: Setup, monkeypatch: pytest.MonkeyPatch):
    """In a child of the bench, made for this test by its environment."""
    folder = setup.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, signal, time\n"
        "import tools.adversarial.kinds as kinds\n"
        "from tools.adversarial.bench import Kind\n"
        "def attempt(dice, folder, number):\n"
        "    if number == 1: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    while number == 2: pass\n"
        "    return 'equal'\n"
        "kinds.KINDS['odd'] = Kind('odd', '', lambda setup: attempt, limit_s=1.0)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    row = run(Kind("odd", "", lambda _: raising, limit_s=1.0), SEED, range(4), setup, 1, time.monotonic() + 300)
    assert dict(row.counts) == {"equal": 2, "crash": 1, "hang": 1}
    assert row.faults[1].startswith("crash: SIGSEGV")
    assert row.faults[2].startswith("hang: ")
    assert list(setup.folder.glob("try-*")) == []


def test_one_try_is_made_again_and_an_unknown_kind_is_named(setup: Setup, capsys: pytest.CaptureFixture[str]):
    from runtime.commands import command_line

    def call(*arguments: str) -> int:
        options = ("--artifact", str(setup.artifacts[0]), "--jobs", "1")
        return command_line.run(lambda: app, "tools.adversarial", "dev", [*options, *arguments])

    assert call("--repeat", "message:1:3") == 0
    assert "message: 1 tries" in capsys.readouterr().out
    assert call("--only", "nothing") == 2
    assert "There is no kind 'nothing'" in capsys.readouterr().err
    assert call("--repeat", "message") == 2
