"""A short part of `make adversarial`: some tries of each kind, and that the bench itself sees what goes wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime.errors import EdgescopeError, InputError
from runtime.system.programs import environment
from tools.adversarial import clock, damage, restart
from tools.adversarial.__main__ import app
from tools.adversarial.bench import (
    BUDGET_BYTES,
    HEAD,
    Answer,
    Impossible,
    Killed,
    Kind,
    Leftover,
    Row,
    Setup,
    dice_of,
    run,
)
from tools.adversarial.child import one
from tools.adversarial.kinds import KINDS, live

if TYPE_CHECKING:
    from collections.abc import Callable

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


def await_true(condition: Callable[[], object]) -> None:
    """Fails after a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


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
@pytest.mark.parametrize("name", ["predict", "segment-zarr", "serve", "fit"])
def test_after_kills_nothing_is_half_made_or_left(setup: Setup, name: str):
    tried(f"kill-{name}", setup, range(1))


@pytest.mark.slow
def test_full_closed_short_and_hostile_worlds_end_in_one_error(setup: Setup):
    tried("world-predict", setup, range(11))


@pytest.mark.slow
def test_a_clock_that_jumps_disturbs_no_command(setup: Setup):
    tried("clock-label", setup, range(2))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["latest", "block", "stop"])
def test_live_adds_up_after_kills_of_workers_spares_and_hosts(setup: Setup, policy: str):
    tried(f"live-{policy}", setup, (0, 2))


@pytest.mark.slow
def test_live_works_or_says_why_where_a_thing_is_missing_full_or_closed(setup: Setup):
    tried("live-world", setup, range(len(live.WORLDS)))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["latest", "block", "stop"])
def test_a_short_soak_adds_up_and_does_not_grow(setup: Setup, policy: str):
    tried(f"soak-{policy}", setup, (0,))


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


def test_what_this_system_cannot_make_is_no_fault_and_is_counted(tmp_path: Path):
    kind = Kind("k", "", lambda _: raising)
    row = Row(kind)
    row.add(0, Answer(**attempt_of(kind, partial(raising, Impossible("no root")), tmp_path)))
    assert row.counts == {"not here": 1}
    assert row.faults == {}


def test_kills_are_counted_over_all_tries(tmp_path: Path):
    kind = Kind("k", "", lambda _: raising)
    row = Row(kind)
    for kills in (5, 3):
        row.add(kills, Answer(**attempt_of(kind, lambda _folder, _number, n=kills: Killed("equal", n), tmp_path)))
    assert dict(zip(HEAD, row.cells(), strict=True)) | {"slowest s": "", "peak MiB": ""} == {
        "kind": "k", "tries": "2", "kills": "8", "refused": "0", "equal": "2", "different": "0", "not here": "0",
        "internal": "0", "crash": "0", "hang": "0", "memory": "0", "left over": "0", "slowest s": "", "limit s": "5",
        "peak MiB": "",
    }  # fmt: skip


@pytest.mark.parametrize("judged", [True, False])
def test_a_try_over_the_memory_budget_is_a_fault_where_memory_is_judged(judged: bool):
    row = Row(Kind("k", "", lambda _: raising, judges_memory=judged))
    row.add(0, Answer("equal", "", peak=BUDGET_BYTES + 1))
    assert bool(row.faults) is judged


def test_a_process_that_outlives_its_killed_parent_is_told(tmp_path: Path):
    """In a process of its own, which adopts what its forks leave."""
    program = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from tools.adversarial import forks\n"
        "forks.ORPHANS_S = 0.5\n"
        "def do(): subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "try: f = forks.Forks(); f.wait(f.start(do, Path(sys.argv[1])), after_s=1.0)\n"
        "except forks.Leftover as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, env=environment(), check=True
    )
    assert "time.sleep(60)" in done.stdout


def test_the_clock_of_a_child_steps_and_its_waits_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    try:
        variables = clock.environment(tmp_path)
    except EdgescopeError as error:
        pytest.skip(str(error))
    monkeypatch.setenv(clock.VARIABLE, variables[clock.VARIABLE])
    by = clock.step(dice_of("clock", 1, 1))
    program = (
        "import time, threading\n"
        "start = time.monotonic(); threading.Event().wait(0.1); waited = time.monotonic() - start\n"
        "print(time.time(), waited)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | variables, check=True
    )
    shown, waited = map(float, done.stdout.split())
    assert abs(shown - time.time() - by) < 60
    assert 0.1 <= waited < 30


def test_the_table_of_restarts_compares_with_an_empty_process():
    lines = restart.table({"python -c pass": [0.02, 0.01, 0.03], "restart": [0.5, 0.4, 0.9]})
    assert lines[2:] == [
        "| python -c pass | 0.020 | 0.010 | 0.030 | 1.0 |",
        "| restart | 0.500 | 0.400 | 0.900 | 25.0 |",
    ]


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


BENCH = """
import sys
from pathlib import Path
from tools.adversarial.bench import Setup, run
from tools.adversarial.kinds import KINDS
run(KINDS["odd"], 1, [2], Setup(Path(sys.argv[1]), (), None), 1, float("inf"))
"""


@pytest.fixture
def odd(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kind of the bench, made for a test by its environment: the try 1 crashes, and 2 never ends.

    Returns where that one writes its process.
    """
    folder = setup.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, signal, time\n"
        "import tools.adversarial.kinds as kinds\n"
        "from tools.adversarial.bench import Kind\n"
        "def attempt(dice, folder, number):\n"
        "    if number == 1: os.kill(os.getpid(), signal.SIGSEGV)\n"
        f"    if number == 2: open({str(folder / 'process')!r}, 'w').write(str(os.getpid()))\n"
        "    while number == 2: pass\n"
        "    return 'equal'\n"
        "kinds.KINDS['odd'] = Kind('odd', '', lambda setup: attempt, limit_s=1.0)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return folder / "process"


@pytest.mark.usefixtures("odd")
def test_crashes_and_hangs_are_told_and_the_child_is_replaced(setup: Setup):
    row = run(Kind("odd", "", lambda _: raising, limit_s=1.0), SEED, range(4), setup, 1, time.monotonic() + 300)
    assert dict(row.counts) == {"equal": 2, "crash": 1, "hang": 1}
    assert row.faults[1].startswith("crash: SIGSEGV")
    assert row.faults[2].startswith("hang: ")
    assert list(setup.folder.glob("try-*")) == []


def test_a_try_that_never_ends_ends_with_the_bench(setup: Setup, odd: Path):
    command = [sys.executable, "-c", BENCH, str(setup.folder)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as bench:
        await_true(lambda: odd.exists() and odd.read_text())
        bench.kill()
    stat = Path(f"/proc/{odd.read_text()}/stat")
    await_true(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_kind_that_cannot_be_prepared_is_a_fault(setup: Setup):
    row = run(Kind("nothing", "", lambda _: raising), SEED, range(3), setup, 1, time.monotonic() + 300)
    assert row.counts == {"internal": 1}
    assert "could not be prepared" in row.faults[0]


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
