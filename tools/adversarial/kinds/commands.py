"""The commands that write: killed at random moments, and in a world that is full, closed, short of a thing or hostile.

A command runs in a fork of a process that has imported what it needs, so that hundreds of runs take minutes. A kill
comes before one of its writes, renames and removals, chosen by the seed, or after a random time.
"""

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from runtime.errors import UNREAD, InputError
from runtime.system.child import name_signal
from tools.adversarial.bench import EQUAL, REFUSED, Attempt, Kind, Leftover, Setup, Wrong

KILLS = 5  # in a row, before the run that ends
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
LIMIT_S = 240.0
CONFIG = """
seed = 1
[data]
train = ["synthetic:6@1?size=96"]
validation = ["synthetic:8@2?size=96"]
crop = 64
[teacher]
name = "masks"
weights = "labels:cells"
store = "{store}"
options = {{ soften = 1.0 }}
"""
FIT = """
seed = 3
[student]
name = "tiny"
decoder = [8, 8, 8, 8, 8]
squeeze_excite = false
[data]
train = ["synthetic:6@1?size=64"]
validation = ["synthetic:6@2?size=64"]
crop = 64
[float]
steps = 4
batch = 2
precision = "32-true"
[qat]
steps = 4
batch = 2
[trainer]
interval = 2
validate = 3
threads = 1
"""


class Command(NamedTuple):
    """A command that writes. imports : what its process has before it is forked; arguments : for a folder

    result : what it makes in the folder
    """

    package: str
    imports: tuple[str, ...]
    arguments: Callable[[Path, Setup], list[str]]
    result: str


def artifact_for_onnxruntime(setup: Setup) -> str:
    """The one that onnxruntime runs, which begins quickest."""
    for path in setup.artifacts:
        if "onnx" in json.loads((path / "manifest.json").read_text())["payload"]:
            return str(path)
    msg = "No artefact holds an ONNX model; compile one for jetson."
    raise InputError(msg)


def _images(folder: Path) -> list[str]:
    import tifffile

    paths: list[str] = []
    (folder / "in").mkdir(exist_ok=True)
    for number in range(2):
        path = folder / "in" / f"cells{number}.tif"
        if not path.exists():
            frame = np.random.default_rng(number).normal(300, 40, (90, 110))
            frame[np.hypot(*np.mgrid[-45:45, -55:55]) < 14 + 4 * number] += 2000
            tifffile.imwrite(path, frame.astype(np.uint16))
        paths.append(str(path))
    return paths


def _predict(folder: Path, setup: Setup) -> list[str]:
    options = ["--labels", "--objects", "csv", "--out", str(folder / "out"), "--threads", "1"]
    return ["predict", artifact_for_onnxruntime(setup), *_images(folder), *options]


def _segment(folder: Path, setup: Setup) -> list[str]:
    options = ["--labels", "--block", "64", "--margin", "16", "--scheduler", "synchronous", "--threads", "1"]
    return ["segment", _images(folder)[0], str(folder / "out"), "--artifact", artifact_for_onnxruntime(setup), *options]


def _label(folder: Path, _setup: Setup) -> list[str]:
    (folder / "config.toml").write_text(CONFIG.format(store=folder / "out"))
    return ["label", str(folder / "config.toml")]


def _fit(folder: Path, _setup: Setup) -> list[str]:
    (folder / "config.toml").write_text(FIT)
    return ["fit", str(folder / "config.toml"), "--out", str(folder / "out")]


def _compile(folder: Path, _setup: Setup) -> list[str]:
    options = ["--target", "jetson", "--precision", "fp32", "--tile", "64", "--student", "nuclei-fast"]
    return [*options, "--out", str(folder / "out")]


RUNTIME = ("onnxruntime", "tifffile", "runtime.bulk", "dask.array", "zarr")
COMMANDS = {
    "predict": Command("runtime", RUNTIME, _predict, "out"),
    "segment": Command("runtime", RUNTIME, _segment, "out"),
    "label": Command("distill", ("distill.teaching.label", "distill.teachers.masks", "zarr", "skimage"), _label, "out"),
    "fit": Command("distill", ("distill.training.train", "distill.training.phases", "torch"), _fit, "out"),
    "compile": Command("compile", ("compile.build", "compile.trial", "compile.export", "onnxruntime"), _compile, "out"),
}


class _Watch:
    """Counts what this process changes in a folder, and ends it before a chosen change."""

    def __init__(self) -> None:
        self.folder, self.count, self.kill_at = "", 0, -1
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder or event not in EVENTS:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if not isinstance(arguments[0], (str, os.PathLike)) or not os.fspath(arguments[0]).startswith(self.folder):
            return
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


class Ended(NamedTuple):
    """code : the exit code, or a signal below 0; said : on standard error; events : changes of its folder"""

    code: int
    said: str
    events: int
    seconds: float


class _Runner:
    """Runs one command in forks of this process."""

    def __init__(self, command: Command, setup: Setup) -> None:
        self.command, self.setup, self.watch = command, setup, _Watch()
        self._pipes: dict[int, tuple[int, int]] = {}
        for name in (f"{command.package}.__main__", *command.imports):
            importlib.import_module(name)

    def start(self, folder: Path, kill_at: int = -1, world: Callable[[Path], None] | None = None) -> int:
        """Begin it, and return its process; world : called in the fork before the command."""
        arguments = self.command.arguments(folder, self.setup)
        said, counted = os.pipe(), os.pipe()
        process = os.fork()
        if process:
            for pipe in (said, counted):
                os.close(pipe[1])
                os.set_blocking(pipe[0], False)
            self._pipes[process] = said[0], counted[0]
            return process
        code = 70
        try:
            os.dup2(said[1], 1)
            os.dup2(said[1], 2)
            sys.stdout, sys.stderr = (os.fdopen(handle, "w", 1, closefd=False) for handle in (1, 2))
            os.chdir(folder)
            if world is not None:
                world(folder)
            self.watch.folder, self.watch.kill_at = str(folder), kill_at
            code = importlib.import_module(f"{self.command.package}.__main__").main(arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            self.watch.folder = ""
            os.write(counted[1], str(self.watch.count).encode())
            os._exit(code)

    def wait(self, process: int, after_s: float | None = None) -> Ended:
        """Until it ends, or is killed after so many seconds."""
        start, said = time.monotonic(), b""
        pipes = self._pipes.pop(process)
        while True:
            done, status = os.waitpid(process, os.WNOHANG)
            said += _read(pipes[0])
            waited = time.monotonic() - start
            if done:
                break
            if waited > (LIMIT_S if after_s is None else after_s):
                os.kill(process, signal.SIGKILL)
                _, status = os.waitpid(process, 0)
                if after_s is None:
                    msg = f"it did not end in {LIMIT_S:.0f} s: {said[-1500:].decode(errors='replace')}"
                    raise Wrong(msg)
                break
            time.sleep(0.002)
        said += _read(pipes[0])
        count = int(_read(pipes[1]) or 0)
        for pipe in pipes:
            os.close(pipe)
        words = said[-1500:].decode(errors="replace").strip()
        return Ended(os.waitstatus_to_exitcode(status), words, count, waited)

    def run(self, folder: Path, **options: Any) -> Ended:
        """Begin it and wait for it."""
        after_s = options.pop("after_s", None)
        return self.wait(self.start(folder, **options), after_s)

    def finish(self, folder: Path) -> Ended:
        """A run that must end well."""
        ended = self.run(folder)
        if ended.code:
            msg = f"the next run ends with {ended.code}: {ended.said}"
            raise Wrong(msg)
        return ended


def _read(pipe: int) -> bytes:
    """What is in a pipe now."""
    found = b""
    try:
        while part := os.read(pipe, 1 << 16):
            found += part
    except BlockingIOError:
        pass
    return found


def names(folder: Path) -> set[str]:
    """All files and folders but what the command was given."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def contents(path: Path) -> dict[str, Any]:
    """What the finished results hold, without what is of the moment: times, paths, versions."""
    found: dict[str, Any] = {}
    for file in sorted(path.rglob("*")) if path.is_dir() else []:
        name = file.relative_to(path).as_posix()
        if any(part.startswith(".") for part in Path(name).parts) or not file.is_file():
            continue
        if file.suffix in (".tif", ".tiff"):
            import tifffile

            array = tifffile.imread(file)
            found[name] = (array.shape, array.dtype, array.tobytes())
        elif file.suffix in (".csv", ".onnx", ".npz", ".safetensors") or name[-1].isdigit():
            found[name] = "" if name.endswith("training.csv") else file.read_bytes()
        else:
            found[name] = ""
    return found


class _Whole(NamedTuple):
    names: set[str]
    contents: dict[str, Any]
    events: int
    seconds: float


def _reference(runner: _Runner, setup: Setup) -> _Whole:
    folder = setup.own / "work"
    folder.mkdir()
    runner.finish(folder)
    again = folder.parent / "again"
    again.mkdir()
    ended = runner.finish(again)  # the second one is as quick as those that follow
    return _Whole(names(folder), contents(folder / runner.command.result), ended.events, ended.seconds)


def _check_part(folder: Path, whole: _Whole, result: str, *, complete: bool) -> None:
    """Every file of the result that has its name is whole; with a folder as the result, all of it or nothing."""
    for name, value in contents(folder / result).items():
        if name not in whole.contents:
            msg = f"{result}/{name} does not belong there"
            raise Leftover(msg)
        if value != whole.contents[name]:
            msg = f"{result}/{name} is not what an undisturbed run writes"
            raise Wrong(msg)
    if complete and (missing := sorted(whole.contents.keys() - contents(folder / result).keys())):
        msg = f"{result} lacks {', '.join(missing[:4])}"
        raise Wrong(msg)


def _check_end(folder: Path, whole: _Whole, result: str, more: Sequence[str] = ()) -> None:
    _check_part(folder, whole, result, complete=True)
    if extra := sorted(names(folder) - whole.names - set(more)):
        msg = f"after the next run: {', '.join(extra[:5])}"
        raise Leftover(msg)


def _prepare_kills(name: str, setup: Setup) -> Attempt:
    runner = _Runner(COMMANDS[name], setup)
    whole = _reference(runner, setup)
    at_once = name in ("segment", "fit")  # their result is one folder, all of it or nothing

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        work = folder / "work"
        work.mkdir()
        for _ in range(KILLS):
            if dice.random() < 0.5:
                ended = runner.run(work, kill_at=int(dice.integers(0, whole.events)))
            else:
                ended = runner.run(work, after_s=float(dice.uniform(0, 1.1 * whole.seconds)))
            if ended.code not in (0, -signal.SIGKILL):
                msg = f"a run after a kill ends with {ended.code}: {ended.said}"
                raise Wrong(msg)
            _check_part(
                work, whole, runner.command.result, complete=at_once and (work / runner.command.result).exists()
            )
        runner.finish(work)
        _check_end(work, whole, runner.command.result)
        return EQUAL

    return attempt


# The world


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _mount(place: Path, options: str, flags: int = 0) -> None:
    """A small file system in memory over a folder, for this process alone."""
    if _libc().unshare(0x00020000) or _libc().mount(None, b"/", None, 0x44000, None):  # a namespace of its own, private
        raise _Impossible
    if _libc().mount(b"tmpfs", os.fsencode(place), b"tmpfs", flags, options.encode()):
        raise _Impossible


class _Impossible(Exception):
    """Not on this system, or not for this user."""


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))


def _full(dice: Generator, folder: Path) -> None:
    (folder / "out").mkdir(exist_ok=True)
    _mount(folder / "out", f"size={int(dice.choice([4, 8, 16, 64, 256]))}k")


def _few_bytes(dice: Generator, folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does when it starts
    _limit(resource.RLIMIT_FSIZE, int(dice.choice([0, 100, 1000, 5000, 20000])))


def _read_only(dice: Generator, folder: Path) -> None:
    (folder / "out").mkdir(exist_ok=True)
    _mount(folder / "out", "size=1m", 1)


def _closed(dice: Generator, folder: Path) -> None:
    for handle in dice.permutation(3)[: int(dice.integers(1, 4))]:
        os.close(int(handle))


def _full_streams(dice: Generator, folder: Path) -> None:
    handle = os.open("/dev/full", os.O_WRONLY)
    for stream in ((1,), (2,), (1, 2))[int(dice.integers(0, 3))]:
        os.dup2(handle, stream)


def _few_files(dice: Generator, folder: Path) -> None:
    _limit(resource.RLIMIT_NOFILE, int(dice.choice([4, 6, 8, 10, 14, 20])))


def _no_processes(dice: Generator, folder: Path) -> None:
    for path in (folder, *folder.parents[:2], *folder.rglob("*")):
        path.chmod(0o777)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    if not os.access(os.__file__, os.R_OK):  # a Python that is root's alone
        raise _Impossible
    _limit(resource.RLIMIT_NPROC, 1)


def _little_memory(dice: Generator, folder: Path) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + (int(dice.choice([1, 16, 64, 128, 256])) << 20))


WORLDS: dict[str, Callable[[Generator, Path], None]] = {
    "full disk": _full,
    "small files": _few_bytes,
    "read-only": _read_only,
    "closed streams": _closed,
    "full streams": _full_streams,
    "few files": _few_files,
    "no processes": _no_processes,
    "little memory": _little_memory,
}


def _prepare_world(name: str, setup: Setup) -> Attempt:
    runner = _Runner(COMMANDS[name], setup)
    whole = _reference(runner, setup)
    result = runner.command.result

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        work = folder / "work"
        work.mkdir()
        kinds = [*WORLDS, "two at once", "links"]
        world = kinds[number % len(kinds)]
        if world == "two at once":
            return _two(runner, work, whole, dice)
        if world == "links":
            return _links(runner, work, whole, dice)
        ended = runner.run(work, world=partial(WORLDS[world], dice))
        _check_words(world, ended, silent=world in ("closed streams", "full streams"))
        mounted = world in ("full disk", "read-only")
        if ended.code == 0 and not mounted:
            _check_part(work, whole, result, complete=True)
        if mounted and not any((work / result).iterdir()):
            (work / result).rmdir()
        runner.finish(work)
        _check_end(work, whole, result)
        return EQUAL if ended.code == 0 else REFUSED

    return attempt


def _check_words(world: str, ended: Ended, *, silent: bool = False) -> None:
    if "_Impossible" in ended.said:
        return
    if ended.code < 0:
        msg = f"{world}: ended by {name_signal(ended.code)}: {ended.said}"
        raise Wrong(msg)
    thrown = "Traceback" in ended.said and "Exception ignored" not in ended.said  # a library's, while it is torn down
    codes = (0, 1, 2, UNREAD) if silent else (0, 1, 2)
    if thrown or "internal:" in ended.said or ended.code not in codes:
        msg = f"{world}: exit code {ended.code}: {ended.said}"
        raise Wrong(msg)
    if ended.code and not silent and "error: " not in ended.said:
        msg = f"{world}: exit code {ended.code} and no error: {ended.said}"
        raise Wrong(msg)


def _two(runner: _Runner, work: Path, whole: _Whole, dice: Generator) -> str:
    first = runner.start(work)
    time.sleep(float(dice.uniform(0, whole.seconds / 2)))
    second = runner.start(work)
    both = [runner.wait(first), runner.wait(second)]
    for ended in both:
        _check_words("two at once", ended)
    if all(ended.code for ended in both):
        msg = f"two at once: neither made it: {both[0].said} {both[1].said}"
        raise Wrong(msg)
    _check_end(work, whole, runner.command.result)
    return EQUAL


def _links(runner: _Runner, work: Path, whole: _Whole, dice: Generator) -> str:
    """Links where a command puts its files lead to what is somebody else's, which stays as it is."""
    victim, elsewhere = work.parent / "victim", work.parent / "elsewhere"
    victim.write_text("kept")
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    result = runner.command.result
    hidden = [f".{result}.lock", f".{result}.segment", f"{result}.training", f".{result}.partial-x"]
    inside = [name for name in whole.names if name.startswith(f"{result}/") and "/" not in name[len(result) + 1 :]]
    for name in dice.choice([*hidden, *inside], size=3):
        path = work / str(name)
        path.parent.mkdir(exist_ok=True)
        if not path.is_symlink():
            path.symlink_to(elsewhere if dice.random() < 0.5 else victim)
    ended = runner.run(work)
    _check_words("links", ended)
    if victim.read_text() != "kept" or [path.name for path in elsewhere.iterdir()] != ["kept"]:
        msg = f"links: what they lead to was changed, exit code {ended.code}"
        raise Wrong(msg)
    return EQUAL if ended.code == 0 else REFUSED


SHARE = 0.02
KINDS = (
    *(
        Kind(f"kill-{name}", f"{KILLS} kills of {name} in a row, then a run that ends", partial(_prepare_kills, name),
             share=SHARE, limit_s=LIMIT_S, may_refuse=False)
        for name in COMMANDS
    ),
    *(
        Kind(f"world-{name}", f"{name} where a thing is full, closed, short or hostile", partial(_prepare_world, name),
             share=SHARE, limit_s=LIMIT_S, may_refuse=False)
        for name in ("predict", "segment", "label")
    ),
)  # fmt: skip
