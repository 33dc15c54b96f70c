"""A command writes only to the folders of its arguments and to its own cache, and opens no network connection.

Where strace runs, every command is watched while it runs: each file that it opens for writing, and each connection.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from runtime.system import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

LIVE = """
import numpy as np
from runtime import LiveSegmenter
with LiveSegmenter({artifact!r}, backends=["onnxruntime"], policy="block") as live:
    live.submit(np.zeros((64, 64), np.uint8))
    assert live.drain(60)
"""


WATCHED = "connect,sendto,creat,open,openat,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,symlink,symlinkat"
PATHS = re.compile(r'(?:AT_FDCWD|\d+)?(?:<([^>]*)>)?(?:, )?"((?:[^"\\\\]|\\\\.)*)"')
EVERYBODY = ("/dev/null", "/dev/tty", "/proc/self/", "/proc/thread-self/")
LIBRARIES = ("/dev/shm/__KMP_REGISTERED_LIB_", "/dev/shm/sem.", "/sys/kernel/", "/proc/sys/")


def written(trace: Path, folder: Path) -> set[str]:
    """What a traced process opened for writing, made, moved or removed, and did not fail at, by absolute path."""
    found: set[str] = set()
    for line in trace.read_text(errors="replace").splitlines():
        call = re.match(r"\d+ +(\w+)\((.*)\) += (-?\d+)", line)
        if not call or call[1] in ("connect", "sendto") or call[3].startswith("-"):
            continue
        if call[1] in ("open", "openat") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", call[2]):
            continue
        for place, name in PATHS.findall(call[2]):
            found.add(os.path.normpath(os.path.join(place or folder, name)))  # noqa: PTH118
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Callable[..., list[str]]:
    """outside(*arguments of python) -> the files that it left in an empty home and folder for temporary files.

    It runs in tmp_path. Where strace runs, a connection to another address than this machine's is an error, and so is
    anything written elsewhere than in tmp_path, also for a moment. codes : exit codes that are right
    """
    home, temporary, trace = tmp_path / "home", tmp_path / "temporary", tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-e", f"trace={WATCHED}", "-o", str(trace)]
    traced = (
        shutil.which("strace") and not subprocess.run([*strace, "true"], capture_output=True, check=False).returncode
    )

    def run(*arguments: str, codes: tuple[int, ...] = (0,)) -> list[str]:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(temporary, ignore_errors=True)
        home.mkdir()
        temporary.mkdir()
        theirs = (*telemetry.VARIABLES, "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "CI")
        environment = {name: value for name, value in os.environ.items() if name not in theirs}
        for name in ("EDGESCOPE_CACHE", "MPLCONFIGDIR"):  # of all tests
            environment.pop(name, None)
        places = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")} | {"HOME": str(home)}
        places |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))}
        command = [*(strace if traced else []), sys.executable, *arguments]
        done = subprocess.run(
            command, env=environment | places, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode in codes, done.stderr
        assert "Traceback" not in done.stderr
        if traced:
            calls = [line for line in trace.read_text(errors="replace").splitlines() if "sa_family=AF_INET" in line]
            assert [line for line in calls if "127.0.0.1" not in line and '"::1"' not in line] == []
            allowed = (f"{tmp_path}/", *EVERYBODY, *LIBRARIES)
            places_written = {path for path in written(trace, tmp_path) if f"{path}/" != f"{tmp_path}/"}
            assert sorted(path for path in places_written if not path.startswith(allowed)) == []
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


@pytest.mark.parametrize("command", [("verify",), ("info",), ("doctor",), ("completion", "bash")])
def test_the_commands_that_only_look_leave_nothing_outside(
    outside: Callable[..., list[str]], artifact: str, command: tuple[str, ...]
):
    arguments = (artifact,) if command[0] in ("verify", "info") else ()
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


TEACHER = """
[teacher]
name = "masks"
weights = "labels:cells"
store = "soft.zarr"
options = { soften = 1.0 }
[loss]
matching = "mse"
"""
FEW = ("--rounds", "1", "--repeats", "2")
COMMANDS = {  # a command that makes what later ones read comes before them
    "runtime segment": ("cells.png", "masks.zarr", "--artifact", "{artifact}", "--backend", "onnxruntime", "--labels"),
    "runtime prewarm": ("{intel}",),
    "runtime serve": ("{intel}", "--port", "1"),
    "distill students": ("--json", "students.json"),
    "distill schema": ("--out", "schema.json"),
    "distill init": ("--from", "nuclei-fast", "--data", "synthetic:6@1?size=64", "--out", "own.toml"),
    "distill label": ("taught.toml",),
    "distill study": ("taught.toml", "--check"),
    "distill fit": ("config.toml", "--out", "student"),
    "distill evaluate": ("nuclei-fast", "--data", "synthetic:2@7?size=64", "--json", "scores.json"),
    "distill tune": ("nuclei-fast", "--data", "synthetic:2@7?size=64", "--out", "tuned"),
    "distill gallery": ("nuclei-fast", "--data", "synthetic:2@7?size=64", "--split", "all", "--out", "gallery"),
    "distill adapt": ("labelled", "--out", "adapted", "--steps", "2", "--target", "none"),
    "distill head": ("config.toml", "--out", "head"),
    "benchmarks run": ("--artifact", "{artifact}", "--backend", "onnxruntime", "--data", "synthetic:2@7?size=64", *FEW,
                       "--out", "report.json"),
    "benchmarks compare": ("{report}", "--html", "page.html", "--markdown", "table.md", "--csv", "table.csv"),
    "benchmarks choose": ("{report}", "--latency-ms", "500", "--html", "choice.html"),
    "benchmarks pareto": ("{report}", "--out", "pareto.svg"),
    "benchmarks devices": ("--artifact", "{intel}", "--camera", "64x64@5", "--data", "synthetic:2@7?size=64", *FEW),
    "benchmarks matrix": ("{matrix}", "--dry-run", "--out", "matrix"),
    "benchmarks ssh": ("nobody@127.0.0.1", "--artifact", "{artifact}", "--out", "far.json"),
    "benchmarks rivals": ("--help",),
    "benchmarks roofline": ("--artifact", "{intel}", *FEW),
    "benchmarks layers": ("--artifact", "{intel}", "--repeats", "2", "--csv", "layers.csv", "--out", "layers.json"),
    "benchmarks predict": ("layers.json",),
    "benchmarks live": ("--camera", "64x64x16@20", "--artifact", "{intel}", "--frames", "5", "--source", "synthetic"),
    "benchmarks soak": ("--artifact", "{intel}", "--frames", "200"),
    "benchmarks split": ("--artifact", "{intel}", "--side", "64", "--repeats", "2"),
    "benchmarks objects": ("--side", "128", "--repeats", "1"),
}  # fmt: skip
MAY_FAIL = {  # for want of a broker, weights, labels for training, a host, files or speed; watched all the same
    "runtime serve", "distill head", "distill adapt", "distill study", "benchmarks ssh", "benchmarks predict",
    "benchmarks choose", "benchmarks live", "benchmarks devices",
    "benchmarks soak",  # 200 frames say little about growth
}  # fmt: skip


def test_every_command_is_watched():
    """A.1: a new command needs an entry above."""
    from importlib import import_module

    known = {f"runtime {command.NAME}" for command in import_module("runtime.__main__").COMMANDS}
    for package in ("distill", "benchmarks"):
        names = import_module(f"{package}.commands.app").app.registered_commands
        known |= {f"{package} {command.name or command.callback.__name__}" for command in names}
    elsewhere = {f"runtime {name}" for name in ("predict", "verify", "info", "doctor", "completion")}
    assert known == set(COMMANDS) | elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_calls_nobody_and_writes_where_it_was_told(
    outside: Callable[..., list[str]],
    write_tiny: Callable[..., Path],
    artifact: str,
    image: str,
    tmp_path: Path,
    command: str,
):
    for library in ("onnxsim", "openvino", "torch", "zarr", "tifffile"):
        pytest.importorskip(library)
    report = sorted((ROOT / "benchmarks" / "history").rglob("*.json"))[0]
    places = {"artifact": artifact, "report": str(report), "matrix": str(ROOT / "benchmarks" / "matrix.toml")}
    places["intel"] = str(write_tiny("intel"))
    tiny = (ROOT / "configs" / "tiny.toml").read_text()
    (tmp_path / "config.toml").write_text(tiny)
    (tmp_path / "taught.toml").write_text(tiny + TEACHER)
    for folder in ("images", "masks"):
        (tmp_path / "labelled" / folder).mkdir(parents=True)
        shutil.copy(image, tmp_path / "labelled" / folder)
    arguments = [word.format(**places) if "{" in word else word for word in COMMANDS[command]]
    left = outside("-m", *command.split(), *arguments, codes=(0, 1, 2) if command in MAY_FAIL else (0,))
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
