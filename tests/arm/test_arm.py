"""The INT8 artefact on an emulated arm64 board: our thin wheel and Debian's Python, bit for bit what x86 computes.

Needs qemu-user and what `make arm` fetches once; `make test-arm` does both. The bundled student, tiles of 256.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.arm import prepare

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "arm"


def do(*words, env=None) -> str:
    ended = subprocess.run(
        [str(word) for word in words], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{words}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def on(machine, *words) -> str:
    """Run Python's arguments on a machine; what it printed."""
    start, environment = prepare.command(FOLDER, machine)
    return do(*start, *words, env=environment)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    if reason := prepare.refuses(FOLDER):
        pytest.skip(reason)
    prepare.prepare(FOLDER)  # the wheel of the sources as they are now
    out = tmp_path_factory.mktemp("artifacts")
    do(sys.executable, "-m", "compile", "--target", "microscope", "--out", out)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def replayed(artifact, tmp_path_factory):
    """By machine: the arrays that came out, and what ran them."""
    folder = tmp_path_factory.mktemp("replayed")
    rng = np.random.default_rng(0)
    frame = rng.normal(800, 40, (250, 300))  # two tiles side by side
    frame[60:110, 200:270] += 5000  # a nucleus over their seam
    np.save(folder / "frame.npy", frame.astype(np.uint16))
    found = {}
    for machine in prepare.MACHINES:
        out = folder / f"{machine}.npz"
        said = on(machine, ROOT / "tests" / "arm" / "replay.py", artifact, folder / "frame.npy", out)
        with np.load(out) as arrays:
            found[machine] = dict(arrays), json.loads(said.splitlines()[-1])
    return found


@pytest.mark.slow
def test_both_machines_have_the_same_kernels(replayed):
    x86, arm = (replayed[machine][1] for machine in prepare.MACHINES)
    assert (x86.pop("machine"), arm.pop("machine")) == prepare.MACHINES
    assert x86 == arm
    assert (arm["library"], arm["version"]) == ("ai_edge_litert", prepare.LITERT)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["probes", "probability", "mask", "labels", "objects"])
def test_every_bit_is_the_same(what, replayed):
    x86, arm = (replayed[machine][0][what] for machine in prepare.MACHINES)
    assert arm.dtype == x86.dtype
    assert arm.shape == x86.shape
    assert arm.tobytes() == x86.tobytes()
    assert len(np.unique(arm)) > 1  # something was found


@pytest.mark.slow
def test_verify_passes_on_arm(artifact):
    assert "passed" in on("aarch64", "-m", "runtime", "verify", artifact)


def test_a_missing_emulator_is_told_how_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        prepare.refuses(FOLDER) == "qemu-aarch64-static is not installed; on Debian: apt-get install qemu-user-static"
    )


def test_what_was_not_fetched_is_told_how_to_fetch(monkeypatch, tmp_path):
    emulator = tmp_path / prepare.QEMU
    emulator.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert prepare.refuses(tmp_path / "arm") == f"no arm64 Python in {tmp_path / 'arm'}; run: make test-arm"


def test_an_interrupted_fetch_leaves_nothing(tmp_path):
    def fails(place):
        (place / "half").touch()
        raise prepare.Missing

    with pytest.raises(prepare.Missing):
        prepare.once(tmp_path / "root", fails)
    assert list(tmp_path.iterdir()) == []
