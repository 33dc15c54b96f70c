"""Live workers, spares and hosts: killed and frozen under each policy, in odd worlds, and at work for minutes."""

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from runtime import backends
from runtime.errors import EdgescopeError, InputError, report
from runtime.live import LiveEvent, LiveResult, LiveSegmenter, Policy, RingOverflow, RingTimeout
from runtime.live.process import TITLE
from runtime.system.processor import usable_cores
from tools.adversarial import clock
from tools.adversarial.bench import EQUAL, REFUSED, Attempt, Killed, Kind, Leftover, Setup, Wrong
from tools.adversarial.forks import Forks
from tools.adversarial.kinds import worlds
from tools.adversarial.kinds.commands import artifact_for_onnxruntime

KILLS = 5  # in one session
FRAMES = 12  # between two kills
HANG_S = 5.0  # on a quiet machine
SETTLE_S = 60.0  # for frames, and twenty for processes to end; more on a busy machine, where workers step back
SOAK_S, SHORT_S = 120.0, 8.0  # of a soak, and of the first one
GROWTH_BYTES = 24 << 20  # of this process, from the first third of a soak to its end
REAL, QUICK = "onnxruntime", "quick"
# Its workers begin in the time that Python and numpy take. Foreground is what is brighter than half.
BACKEND = """
import numpy as np
from runtime.backend import Backend

class Session:
    description = {"library": "numpy", "version": "0", "device": "CPU", "threads": "1", "precision_hint": "none"}
    def __init__(self, outputs):
        self.outputs = outputs
    def run(self, tile):
        cuts = np.linspace(0.5, 0.7, self.outputs)
        return np.concatenate([1 / (1 + np.exp(-40 * (tile - cut))) for cut in cuts], axis=1).astype(np.float32)
    def close(self):
        pass

class Quick(Backend):
    name = extra = "quick"
    def library(self):
        return "numpy"
    def refuses(self, manifest):
        return None
    def open(self, artifact, execution):
        return Session(len(artifact.manifest.channels))

BACKEND = Quick()
"""


def frame_of(number: int) -> np.ndarray:
    """A dim frame with a bright spot, uint16 (90, 110)."""
    frame = np.random.default_rng(number).normal(400, 40, (90, 110))
    frame[20:40, 30:50] += 2000
    return frame.astype(np.uint16)


def _add_backend(setup: Setup) -> None:
    folder = setup.own / "backends"
    folder.mkdir()
    (folder / f"{QUICK}.py").write_text(BACKEND)
    backends.__path__[:] = [*backends.__path__, str(folder)]


def _prepare(policy: Policy, setup: Setup) -> Attempt:
    artifact = artifact_for_onnxruntime(setup)
    _add_backend(setup)
    forks = Forks()

    def attempt(dice: Generator, folder: Path, number: int) -> Killed:
        backend = REAL if number % 5 == 4 else QUICK
        if number % 5 == 2:
            return _kill_hosts(forks, artifact, policy, backend, folder, dice)
        return _kill_workers(artifact, policy, backend, dice)

    return attempt


def _kill_workers(artifact: str, policy: Policy, backend: str, dice: Generator) -> Killed:
    """Kills of workers and of spares; now and then one is frozen."""
    events: list[LiveEvent] = []
    live = LiveSegmenter(
        artifact, policy=policy, backends=[backend], threads=1, block_timeout_s=_patience(), max_failures=10**6,
        hang_s=_hang_s(), on_event=events.append,
    )  # fmt: skip
    kills, frame = 0, frame_of(0)
    with live:
        for _ in range(20 * KILLS):
            for _ in range(int(dice.integers(1, FRAMES))):
                _submit(live, frame, dice)
            adds_up(live)
            kills += _strike(live, dice)
            if kills == KILLS:
                break
        _submit(live, frame, dice)
        if not live.drain(_patience()):
            msg = f"frames are not settled in {_patience():.0f} s: {live.counters}"
            raise Wrong(msg)
        restart_s = _restart_s(live, frame) if policy != "stop" else 0.0
    count = live.counters
    adds_up(live)
    if count.pending or count.failed > kills + 1:
        msg = f"{kills} kills, and {count}: {'; '.join(event.message for event in events)}"
        raise Wrong(msg)
    if policy == "block" and count.dropped:
        msg = f"policy block dropped frames: {count}"
        raise Wrong(msg)
    started = _start_s()  # measured now: other work may have come or gone
    if restart_s > max(1.0, 3 * started) and _patience() == SETTLE_S:
        msg = f"a restart took {restart_s:.2f} s; a process takes {started:.2f} s to start here"
        raise Wrong(msg)
    _gone(os.getpid())
    return Killed(EQUAL, kills)


def _strike(live: LiveSegmenter, dice: Generator) -> int:
    """Kill the worker, the spare, or any; freeze one in twenty. How many that were."""
    spare = live._supervisor._spare
    chosen = [live.worker_pid, spare and spare.pid][int(dice.integers(0, 2))]
    victim = chosen or next(_workers(os.getpid()), None)
    if victim is None:
        return 0
    _end(victim, signal.SIGSTOP if dice.random() < 0.05 else signal.SIGKILL)
    return 1


def _submit(live: LiveSegmenter, frame: np.ndarray, dice: Generator) -> None:
    time.sleep(float(dice.exponential(0.003)))
    try:
        live.submit(frame)
    except RingTimeout as error:
        msg = f"the ring was full for too long: {error} {live.counters}"
        raise Wrong(msg) from error
    except RingOverflow:  # policy "stop": it takes no more
        pass


def adds_up(live: LiveSegmenter) -> None:
    """Wrong where the counters do not add up."""
    count = live.counters
    if count.seen != count.done + count.dropped + count.failed + count.pending:
        msg = f"the counters do not add up: {count}"
        raise Wrong(msg)


def _restart_s(live: LiveSegmenter, frame: np.ndarray) -> float:
    """From the kill of an idle worker with a ready spare until the next frame is done; 0 where no spare gets ready."""
    supervisor, end = live._supervisor, time.monotonic() + _patience() / 3
    while not ((spare := supervisor._spare) and spare.ready and (worker := live.worker_pid)):
        if time.monotonic() > end:
            return 0.0
        live.submit(frame)
        live.drain(_patience() / 3)
        time.sleep(0.1)
    before, start = live.counters.done, time.monotonic()
    _end(worker, signal.SIGKILL)
    while live.counters.done == before and time.monotonic() - start < _patience() / 3:
        live.submit(frame)
        live.drain(_patience() / 3)
    return time.monotonic() - start


def _patience() -> float:
    """Seconds: workers run at the lowest priority, and get little beside other work."""
    busy = os.getloadavg()[0] / usable_cores()
    return SETTLE_S * max(1.0, (busy - 0.5) ** 2)


def _hang_s() -> float:
    return HANG_S * _patience() / SETTLE_S


def _start_s() -> float:
    """How long this machine takes to start a Python process with numpy now."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import numpy"], capture_output=True, check=True)
    return time.monotonic() - start


def _kill_hosts(forks: Forks, artifact: str, policy: Policy, backend: str, folder: Path, dice: Generator) -> Killed:
    """Kills of hosts while they open, segment or close: their workers end by themselves, which Forks looks at."""

    def host() -> int:
        for _ in range(100):
            with LiveSegmenter(artifact, policy=policy, backends=[backend], threads=1) as live:
                for number in range(20):
                    try:
                        live.submit(frame_of(0))
                    except RingOverflow:
                        break
                    time.sleep(0.002 * (number % 3))
        return 0

    for _ in range(KILLS):
        ended = forks.wait(forks.start(host, folder), after_s=float(dice.uniform(0, 2.0)))
        if ended.code != -signal.SIGKILL:
            msg = f"the host ended with {ended.code}: {ended.said}"
            raise Wrong(msg)
    return Killed(EQUAL, KILLS)


def _gone(parent: int) -> None:
    end = time.monotonic() + _patience() / 3
    while left := list(_workers(parent)):
        if time.monotonic() > end:
            msg = f"{len(left)} workers stay after close"
            raise Leftover(msg)
        time.sleep(0.05)


def _workers(parent: int) -> Iterator[int]:
    """The live workers that a process has started."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            status = (place / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == parent and TITLE.encode() in (place / "cmdline").read_bytes():
                yield int(place.name)
        except (OSError, IndexError, ValueError):
            continue


def _end(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


# In a world that lacks a thing


def _closed(dice: Generator, folder: Path) -> None:
    worlds.closed_streams(dice, folder)
    for name, handle in (("stdin", 0), ("stdout", 1), ("stderr", 2)):  # as Python sets them when it starts
        try:
            os.fstat(handle)
        except OSError:
            setattr(sys, name, None)


def _full_temporary(dice: Generator, folder: Path) -> None:
    worlds._mount(Path(os.environ["TMPDIR"]), "size=4k")


WORLDS: dict[str, worlds.World] = {
    "no shared memory": worlds.no_shared_memory,
    "full folder for temporary files": _full_temporary,
    "few files": worlds.few_files,
    "small files": worlds.small_files,
    "little memory": worlds.little_memory,
    "closed streams": _closed,
    "clock steps": worlds.clock_steps,
}


def _prepare_world(setup: Setup) -> Attempt:
    artifact = artifact_for_onnxruntime(setup)
    _add_backend(setup)
    forks = Forks()

    def host() -> int:
        logging.disable()  # a host's log may say more than its errors
        options = {"threads": 1, "hang_s": _hang_s(), "block_timeout_s": _patience()}
        try:
            with LiveSegmenter(artifact, policy="block", backends=[QUICK], **options) as live:
                for number in range(40):
                    live.submit(frame_of(0))
                    time.sleep(0.005 * (number % 3))
                if not live.drain(_patience()):
                    print(f"error: not settled: {live.counters}")
                    return 70
                errors = {result.error for result in live.results() if result.error}
            count = live.counters
        except (EdgescopeError, OSError) as error:
            return report(error, debug=False)
        adds_up(live)
        if count.done + count.failed != count.seen or (count.failed and not errors):
            print(f"internal: {count}")
            return 70
        return 0

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        world = list(WORLDS)[number % len(WORLDS)]
        ended = forks.wait(forks.start(host, folder, world=partial(WORLDS[world], dice)))
        worlds.check_words(world, ended, silent=world == "closed streams")
        if ended.code and world in ("no shared memory", "full folder for temporary files", "clock steps"):
            msg = f"{world}: live does not need it, and ends with {ended.code}: {ended.said}"
            raise Wrong(msg)
        return REFUSED if ended.code else EQUAL

    return attempt


# A soak


class Reader:
    """A slow callback, which now and then fails, and counts what it gets."""

    def __init__(self, dice: Generator) -> None:
        self.indices: list[int] = []
        self.errors = 0
        self._dice = np.random.default_rng(dice.integers(1 << 30))

    def __call__(self, result: LiveResult) -> None:
        """See LiveSegmenter's on_result."""
        self.indices.append(result.index)
        self.errors += result.error is not None
        if result.segmentation is not None and self._dice.random() < 0.1:
            result.segmentation.labels()
        time.sleep(float(self._dice.exponential(0.004)))
        if self._dice.random() < 0.02:
            msg = "a callback of the soak fails"
            raise RuntimeError(msg)


def odd_frame(dice: Generator) -> Any:
    """A frame that is seldom an ordinary one: other sizes, types, layouts, values, or no frame at all."""
    frame = frame_of(0)
    match int(dice.integers(0, 14)):
        case 0:
            return frame.astype(np.float32) * np.float32(dice.choice([np.nan, np.inf, 1e38, -1, 0]))
        case 1:
            spoilt = frame.astype(np.float32)
            spoilt.flat[int(dice.integers(0, spoilt.size))] = dice.choice([np.nan, np.inf, -np.inf])
            return spoilt
        case 2:
            return frame[: int(dice.integers(0, 90)), : int(dice.integers(0, 110))]
        case 3:
            return np.tile(frame, (int(dice.integers(1, 4)), int(dice.integers(1, 4))))
        case 4:
            return frame.astype(str(dice.choice(["uint8", "int32", "float64", "bool", "complex64", ">u2", "float16"])))
        case 5:
            return frame[None] if dice.random() < 0.5 else frame[0]
        case 6:
            return frame.T if dice.random() < 0.5 else frame[::-2, ::3]
        case 7:
            return [None, "frame", [[1, 2], [3, 4]], 7][int(dice.integers(0, 4))]
        case _:
            return frame


def _prepare_soak(policy: Policy, setup: Setup) -> Attempt:
    artifact = artifact_for_onnxruntime(setup)
    _add_backend(setup)

    def attempt(dice: Generator, folder: Path, number: int) -> Killed:
        backend = REAL if number % 3 == 1 else QUICK
        held = at_end = None  # bytes and open files, at a third of the time and at its end
        start, seconds, kills = time.monotonic(), SOAK_S if number else SHORT_S, 0
        threads = threading.active_count()
        while time.monotonic() < start + seconds:  # under "stop" a session ends with the first frame too many
            reader = Reader(dice)
            with LiveSegmenter(
                artifact, policy=policy, backends=[backend], threads=1, max_frame_bytes=120_000, hang_s=_hang_s(),
                block_timeout_s=_patience(), max_failures=10**6, until="objects", track=0.3, on_result=reader,
                backlog_bytes=8 << 20,
            ) as live:  # fmt: skip
                while (left := start + seconds - time.monotonic()) > 0 and not live.closed:
                    if held is None and left < 2 / 3 * seconds:
                        live.drain(_patience())
                        held = _held()
                    if not _offer(live, odd_frame(dice), dice):
                        break
                    adds_up(live)
                    kills += _strike(live, dice) if dice.random() < 0.005 else 0
                    if dice.random() < 0.01:
                        clock.step(dice)
                    time.sleep(float(dice.exponential(0.004)))
                if not live.drain(_patience()):
                    msg = f"frames are not settled in {_patience():.0f} s: {live.counters}"
                    raise Wrong(msg)
                at_end = _held()
                held = held or at_end
            _judge(live, reader, policy)
        _gone(os.getpid())
        assert held is not None
        assert at_end is not None
        _judge_growth(held, at_end)
        if threading.active_count() > threads:
            msg = f"threads stay after close: {[thread.name for thread in threading.enumerate()]}"
            raise Leftover(msg)
        return Killed(EQUAL, kills)

    return attempt


def _offer(live: LiveSegmenter, frame: Any, dice: Generator) -> bool:
    """Submit it; what is no frame, or too large, is refused in words. False when the ring takes no more ("stop")."""
    um = [None, 0.5, 0.25, 1e-9][int(dice.integers(0, 4))] if dice.random() < 0.1 else None
    try:
        live.submit(frame, metadata=[0] * 100, pixel_size_um=um)
    except RingTimeout as error:
        msg = f"the ring was full for too long: {error} {live.counters}"
        raise Wrong(msg) from error
    except RingOverflow:
        return False
    except InputError:
        pass
    return True


def _held() -> tuple[int, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def _judge(live: LiveSegmenter, reader: Reader, policy: str) -> None:
    adds_up(live)
    count = live.counters
    if count.pending or len(reader.indices) != count.done + count.failed or reader.errors != count.failed:
        msg = f"{len(reader.indices)} results, {reader.errors} of them lost frames, and {count}"
        raise Wrong(msg)
    if sorted(set(reader.indices)) != reader.indices:
        msg = "results came twice or out of order"
        raise Wrong(msg)
    if policy != "latest" and count.dropped:
        msg = f"policy {policy} dropped frames: {count}"
        raise Wrong(msg)


def _judge_growth(first: tuple[int, int], last: tuple[int, int]) -> None:
    if last[0] - first[0] > GROWTH_BYTES or last[1] > first[1] + 8:
        msg = f"it grows: {first[0] >> 20} to {last[0] >> 20} MiB, {first[1]} to {last[1]} open files"
        raise Wrong(msg)


def _kind(name: str, about: str, prepare: Callable[[Setup], Attempt], **more: Any) -> Kind:
    return Kind(name, about, prepare, share=0.02, limit_s=240.0, may_refuse=False, judges_memory=False, **more)


POLICIES: tuple[Policy, ...] = ("latest", "block", "stop")
KINDS = (
    *(
        _kind(f"live-{policy}", f"{KILLS} kills of workers and spares, or of hosts, under {policy}",
              partial(_prepare, policy))
        for policy in POLICIES
    ),
    _kind("live-world", "live where a thing is missing, full or closed, or the clock jumps", _prepare_world,
          clock=True),
    *(
        _kind(f"soak-{policy}", f"{SOAK_S:.0f} s of odd frames, kills, slow readers and clock steps under {policy}",
              partial(_prepare_soak, policy), clock=True, most=3)
        for policy in POLICIES
    ),
)  # fmt: skip
