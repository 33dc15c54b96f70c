"""Commands that write, in a world that is full, closed, short of a thing or hostile, or whose clock jumps."""

import ctypes
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from numpy.random import Generator

from runtime.errors import UNREAD
from runtime.system.child import name_signal
from tools.adversarial import clock
from tools.adversarial.bench import EQUAL, REFUSED, Attempt, Impossible, Kind, Setup, Wrong
from tools.adversarial.forks import LIMIT_S, Ended
from tools.adversarial.kinds.commands import COMMANDS, Bench

World = Callable[[Generator, Path], None]
NEW_NAMESPACE, PRIVATE, READ_ONLY, AGAIN, BIND = 0x20000, 0x44000, 1, 32, 4096  # of unshare(2) and mount(2)
SHM = Path("/dev/shm")
NOT_POSSIBLE = "cannot be made here"


def _system(name: str, *arguments: Any) -> None:
    if getattr(ctypes.CDLL(None), name)(*arguments):
        raise Impossible(NOT_POSSIBLE)


def _mount(place: Path, options: str, flags: int = 0) -> None:
    """A small file system in memory over a folder, for this process alone."""
    _system("unshare", NEW_NAMESPACE)
    _system("mount", None, b"/", None, PRIVATE, None)
    _system("mount", b"tmpfs", os.fsencode(place), b"tmpfs", flags, options.encode())


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))


def full_disk(dice: Generator, folder: Path) -> None:
    (folder / "out").mkdir(exist_ok=True)
    _mount(folder / "out", f"size={int(dice.choice([4, 8, 16, 64, 256]))}k")


def small_files(dice: Generator, folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does when it starts
    _limit(resource.RLIMIT_FSIZE, int(dice.choice([0, 100, 1000, 5000, 20000])))


def read_only(dice: Generator, folder: Path) -> None:
    (folder / "out").mkdir(exist_ok=True)
    _mount(folder / "out", "size=1m", READ_ONLY)


def closed_streams(dice: Generator, folder: Path) -> None:
    for handle in dice.permutation(3)[: int(dice.integers(1, 4))]:
        os.close(int(handle))


def full_streams(dice: Generator, folder: Path) -> None:
    handle = os.open("/dev/full", os.O_WRONLY)
    for stream in ((1,), (2,), (1, 2))[int(dice.integers(0, 3))]:
        os.dup2(handle, stream)


def few_files(dice: Generator, folder: Path) -> None:
    _limit(resource.RLIMIT_NOFILE, int(dice.choice([4, 6, 8, 10, 14, 20])))


def no_processes(dice: Generator, folder: Path) -> None:
    for path in (folder, *folder.parents[:2], *folder.rglob("*")):
        path.chmod(0o777)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    if not os.access(os.__file__, os.R_OK):  # a Python that is root's alone
        raise Impossible(NOT_POSSIBLE)
    _limit(resource.RLIMIT_NPROC, 1)


def little_memory(dice: Generator, folder: Path) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + (int(dice.choice([1, 16, 64, 128, 256])) << 20))


def no_shared_memory(dice: Generator, folder: Path) -> None:
    """/dev/shm takes nothing. What the bench itself keeps there stays where it is."""
    kept = folder if folder.is_relative_to(SHM) else None
    handle = os.open(folder, os.O_PATH)
    _mount(SHM, "size=64k")
    if kept is not None:
        kept.mkdir(parents=True)
        _system("mount", f"/proc/self/fd/{handle}".encode(), os.fsencode(kept), None, BIND, None)
    os.close(handle)
    _system("mount", b"tmpfs", os.fsencode(SHM), None, AGAIN | READ_ONLY, None)


def clock_steps(dice: Generator, folder: Path) -> None:
    """The clock jumps forward and back while the command runs; what an earlier run left may be of any time."""
    for path in (path for place in folder.glob("*out*") for path in (place, *place.rglob("*"))):
        at = time.time() + float(dice.choice(clock.STEPS_S))
        os.utime(path, (at, at), follow_symlinks=False)
    clock.step(dice)

    def go_on() -> None:
        while True:
            time.sleep(float(dice.exponential(0.05)))
            clock.step(dice)

    threading.Thread(target=go_on, daemon=True).start()


WORLDS: dict[str, World] = {
    "full disk": full_disk,
    "small files": small_files,
    "read-only": read_only,
    "closed streams": closed_streams,
    "full streams": full_streams,
    "few files": few_files,
    "no processes": no_processes,
    "little memory": little_memory,
    "no shared memory": no_shared_memory,
}


def _prepare(name: str, setup: Setup) -> Attempt:
    bench = Bench(name, setup)
    worlds = [*WORLDS, "two at once", "links"]

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        work = folder / "work"
        work.mkdir()
        world = worlds[number % len(worlds)]
        if world in ("full disk", "read-only") and bench.result != "out":  # its inputs are there, too
            raise Impossible(NOT_POSSIBLE)
        if world == "two at once":
            return _two(bench, work, dice)
        if world == "links":
            return _links(bench, work, dice)
        return _in_world(bench, world, partial(WORLDS[world], dice), work)

    return attempt


def _prepare_clock(name: str, setup: Setup) -> Attempt:
    bench = Bench(name, setup)

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        work = folder / "work"
        work.mkdir()
        bench.runner.run(work, kill_at=int(dice.integers(0, bench.whole.events)))  # leaves something behind
        outcome = _in_world(bench, "clock steps", partial(clock_steps, dice), work)
        if outcome != EQUAL:
            msg = "a run was refused because the clock jumped"
            raise Wrong(msg)
        return outcome

    return attempt


def _in_world(bench: Bench, world: str, make: Callable[[Path], None], work: Path) -> str:
    """A run in a world, which may be refused, and one after it, which ends well and leaves nothing."""
    ended = bench.runner.run(work, world=make)
    unheard = world in ("closed streams", "full streams")  # a run may be complete, and fail only at saying so
    check_words(world, ended, silent=unheard)
    mounted = world in ("full disk", "read-only")
    if mounted and not any((work / bench.result).iterdir()):
        (work / bench.result).rmdir()
    done = bench.command.again and (ended.code == 0 or unheard) and (work / bench.result).exists()
    if (ended.code == 0 and not mounted) or done:
        bench.check_part(work, complete=True)
    if not done:
        bench.runner.finish(work)
    bench.check_end(work)
    return EQUAL if ended.code == 0 else REFUSED


def check_words(world: str, ended: Ended, *, silent: bool = False) -> None:
    """One error in words, or none; Impossible where the world could not be made. silent : nobody can read them"""
    if NOT_POSSIBLE in ended.said:
        raise Impossible(world)
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


def _two(bench: Bench, work: Path, dice: Generator) -> str:
    first = bench.runner.start(work)
    time.sleep(float(dice.uniform(0, bench.whole.seconds / 2)))
    second = bench.runner.start(work)
    both = [bench.runner.wait(first), bench.runner.wait(second)]
    for ended in both:
        check_words("two at once", ended)
    if all(ended.code for ended in both):
        msg = f"two at once: neither made it: {both[0].said} {both[1].said}"
        raise Wrong(msg)
    bench.check_end(work)
    return EQUAL


def _links(bench: Bench, work: Path, dice: Generator) -> str:
    """Links where a command puts its files lead to what is somebody else's, which stays as it is."""
    victim, elsewhere = work.parent / "victim", work.parent / "elsewhere"
    victim.write_text("kept")
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    result = bench.result
    hidden = [f".{result}.lock", f".{result}.segment", f"{result}.training", f".{result}.partial-x"]
    inside = [name for name in bench.whole.names if name.startswith(f"{result}/") and name.count("/") == 1]
    for name in dice.choice([*hidden, *inside], size=3):
        path = work / str(name)
        path.parent.mkdir(exist_ok=True)
        if not path.is_symlink():
            path.symlink_to(elsewhere if dice.random() < 0.5 else victim)
    ended = bench.runner.run(work)
    check_words("links", ended)
    if victim.read_text() != "kept" or [path.name for path in elsewhere.iterdir()] != ["kept"]:
        msg = f"links: what they lead to was changed, exit code {ended.code}"
        raise Wrong(msg)
    return EQUAL if ended.code == 0 else REFUSED


SHARE = 0.02
KINDS = (
    *(
        Kind(f"world-{name}", f"{name} where a thing is full, closed, short or hostile", partial(_prepare, name),
             share=SHARE, limit_s=LIMIT_S, may_refuse=False, judges_memory=False)
        for name in COMMANDS
    ),
    *(
        Kind(f"clock-{name}", f"{name} while the system's clock jumps, after a run that was killed",
             partial(_prepare_clock, name), share=SHARE, limit_s=LIMIT_S, may_refuse=False, judges_memory=False,
             clock=True)
        for name in COMMANDS
    ),
)  # fmt: skip
