"""A command writes only to the folders of its arguments and to its own cache, and opens no network connection."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime.system import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIVE = """
import numpy as np
from runtime import LiveSegmenter
with LiveSegmenter({artifact!r}, backends=["onnxruntime"], policy="block") as live:
    live.submit(np.zeros((64, 64), np.uint8))
    assert live.drain(60)
"""


@pytest.fixture
def outside(tmp_path: Path) -> Callable[..., list[str]]:
    """outside(*arguments of python) -> the files that it left in an empty home and folder for temporary files.

    Where strace runs, a connection to another address than this machine's is an error.
    """
    home, temporary, trace = tmp_path / "home", tmp_path / "temporary", tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto", "-o", str(trace)]
    traced = (
        shutil.which("strace") and not subprocess.run([*strace, "true"], capture_output=True, check=False).returncode
    )

    def run(*arguments: str) -> list[str]:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(temporary, ignore_errors=True)
        home.mkdir()
        temporary.mkdir()
        theirs = (*telemetry.VARIABLES, "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "CI")
        environment = {name: value for name, value in os.environ.items() if name not in theirs}
        places = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")} | {"HOME": str(home)}
        command = [*(strace if traced else []), sys.executable, *arguments]
        done = subprocess.run(command, env=environment | places, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if traced:
            calls = [line for line in trace.read_text().splitlines() if "sa_family=AF_INET" in line]
            assert [line for line in calls if "127.0.0.1" not in line and '"::1"' not in line] == []
        return sorted(
            path.relative_to(tmp_path).as_posix()
            for place in (home, temporary)
            for path in place.rglob("*")
            if not path.is_dir()
        )

    return run


@pytest.fixture
def artifact(write_tiny: Callable[..., Path]) -> str:
    """An artefact that onnxruntime runs."""
    pytest.importorskip("onnxruntime")
    return str(write_tiny("jetson"))


@pytest.fixture
def image(tmp_path: Path) -> str:
    """An image file."""
    picture = pytest.importorskip("PIL.Image")
    path = tmp_path / "cells.png"
    picture.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    return str(path)


def test_predict_leaves_nothing_outside(outside: Callable[..., list[str]], artifact: str, image: str, tmp_path: Path):
    output = str(tmp_path / "masks")
    options = ("--backend", "onnxruntime", "--out", output)
    assert outside("-m", "runtime", "predict", artifact, image, *options) == []


@pytest.mark.parametrize("command", [("verify",), ("info",), ("doctor",)])
def test_the_commands_that_only_look_leave_nothing_outside(
    outside: Callable[..., list[str]], artifact: str, command: tuple[str, ...]
):
    arguments = () if command == ("doctor",) else (artifact,)
    assert outside("-m", "runtime", *command, *arguments) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the worker is read by strace or not at all")
def test_a_live_worker_leaves_nothing_outside(outside: Callable[..., list[str]], artifact: str):
    assert outside("-c", LIVE.format(artifact=artifact)) == []


def test_a_link_in_the_folder_for_temporary_files_is_not_written_through(artifact: str, tmp_path: Path):
    victim, folder = tmp_path / "victim", tmp_path / "temporary"
    victim.write_text("kept")
    folder.mkdir()
    (folder / ".ses").symlink_to(victim)
    environment = {name: value for name, value in os.environ.items() if name not in telemetry.VARIABLES}
    environment |= {"TMPDIR": str(folder), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "runtime", "verify", artifact, "--backend", "onnxruntime"]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    assert victim.read_text() == "kept"


@pytest.mark.slow
def test_importing_the_compiler_leaves_nothing_outside(outside: Callable[..., list[str]]):
    pytest.importorskip("onnxsim")
    assert outside("-c", "import compile.build, compile.export, compile.accuracy.verify") == []


@pytest.mark.slow
def test_compile_leaves_only_the_cache_outside(outside: Callable[..., list[str]], tmp_path: Path):
    pytest.importorskip("onnxsim")
    where = ("--target", "intel", "--target", "microscope", "--out", str(tmp_path / "artifacts"))
    left = outside("-m", "compile", "--student", "nuclei-fast", *where)
    assert [path for path in left if not path.startswith("home/.cache/edgescope/")] == []


@pytest.mark.slow
def test_benchmarks_leave_only_the_cache_outside(outside: Callable[..., list[str]], artifact: str, tmp_path: Path):
    few = ("--limit", "1", "--repeats", "2", "--rounds", "1", "--backend", "onnxruntime")
    report = ("--data", "synthetic:1@7", "--out", str(tmp_path / "report.json"))
    left = outside("-m", "benchmarks", "run", "--artifact", artifact, *report, *few)
    assert [path for path in left if not path.startswith("home/.cache/edgescope/")] == []


def test_a_variable_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    telemetry.set_variables()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


def test_a_package_is_hidden_for_the_import_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(telemetry, "PACKAGES", ("colorsys",))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with telemetry.hidden_packages(), pytest.raises(ImportError):
        __import__("colorsys")
    __import__("colorsys")
