"""Live workers, spares and hosts that are killed or stopped under each policy, and what the counters say then."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator

from runtime.live import LiveSegmenter, RingOverflow, RingTimeout
from runtime.live.process import TITLE
from runtime.system.processor import usable_cores
from tools.adversarial.bench import EQUAL, Attempt, Kind, Leftover, Setup, Wrong
from tools.adversarial.kinds.commands import artifact_for_onnxruntime

KILLS = 5  # in one session
FRAMES = 12  # between two kills
SETTLE_S = 60.0  # for frames, and twenty for processes to end; more on a busy machine, where workers step back
START = "import json, os, time, numpy as np; print(time.monotonic(), flush=True)"
HOST = """
import sys, time
import numpy as np
from runtime.live import LiveSegmenter
live = LiveSegmenter(sys.argv[1], policy=sys.argv[2], backends=["onnxruntime"], threads=1)
print("ready", flush=True)
for _ in range(100000):
    try:
        live.submit(np.zeros((90, 110), np.uint16))
    except Exception as error:
        pass
    time.sleep(0.002)
"""


def _prepare(policy: str, setup: Setup) -> Attempt:
    artifact = artifact_for_onnxruntime(setup)
    frame = np.random.default_rng(0).normal(400, 40, (90, 110)).astype(np.uint16)

    def session(dice: Generator) -> str:
        live = LiveSegmenter(
            artifact,
            policy=policy,
            backends=["onnxruntime"],
            threads=1,
            block_timeout_s=_patience(),
            max_failures=10**6,
        )
        kills = 0
        with live:
            for _ in range(KILLS):
                for _ in range(int(dice.integers(1, FRAMES))):
                    _submit(live, frame, dice)
                _adds_up(live)
                workers = sorted(_workers(os.getpid()))
                if not workers:
                    continue
                victim = int(dice.choice([live.worker_pid or workers[0], *workers]))
                _end(victim, signal.SIGKILL)
                kills += 1
            _submit(live, frame, dice)
            if not live.drain(_patience()):
                msg = f"frames are not settled in {_patience():.0f} s: {live.counters}"
                raise Wrong(msg)
            restart_s = _restart_s(live, frame) if policy != "stop" else 0.0
        count = live.counters
        _adds_up(live)
        if count.pending or count.failed > kills + 1:
            msg = f"{kills} kills, and {count}"
            raise Wrong(msg)
        if policy == "block" and count.dropped:
            msg = f"policy block dropped frames: {count}"
            raise Wrong(msg)
        started = _start_s()  # measured now: other work may have come or gone
        if restart_s > max(1.0, 3 * started) and _patience() == SETTLE_S:
            msg = f"a restart took {restart_s:.2f} s; a process takes {started:.2f} s to start here"
            raise Wrong(msg)
        _gone(os.getpid())
        return EQUAL

    def attempt(dice: Generator, folder: Path, number: int) -> str:
        if number % 3 == 2:
            return _kill_host(artifact, policy, dice)
        return session(dice)

    return attempt


def _submit(live: LiveSegmenter, frame: np.ndarray, dice: Generator) -> int:
    time.sleep(float(dice.exponential(0.003)))
    try:
        live.submit(frame)
    except RingTimeout as error:
        msg = f"the ring was full for too long: {error} {live.counters}"
        raise Wrong(msg) from error
    except RingOverflow:  # policy "stop": it takes no more
        return 0
    except Exception as error:
        if live.counters.seen and "takes no" in str(error):
            return 0
        raise
    return 1


def _adds_up(live: LiveSegmenter) -> None:
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


def _start_s() -> float:
    """How long this machine takes to start a Python process with numpy now."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)) - start


def _kill_host(artifact: str, policy: str, dice: Generator) -> str:
    with subprocess.Popen([sys.executable, "-c", HOST, artifact, policy], stdout=subprocess.PIPE) as host:
        if dice.random() < 0.7:
            host.stdout.readline()
        time.sleep(float(dice.uniform(0, 1.0)))
        workers = list(_workers(host.pid))
        host.kill()
    end = time.monotonic() + _patience() / 3
    while left := [pid for pid in workers if _is_worker(pid)]:
        if time.monotonic() > end:
            for pid in left:
                _end(pid, signal.SIGKILL)
            msg = f"{len(left)} workers stay after their host was killed"
            raise Leftover(msg)
        time.sleep(0.05)
    return EQUAL


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
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) == parent and _is_worker(
                int(place.name)
            ):
                yield int(place.name)
        except (OSError, IndexError, ValueError):
            continue


def _is_worker(pid: int) -> bool:
    try:
        return TITLE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _end(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


KINDS = tuple(
    Kind(f"live-{policy}", f"{KILLS} kills of workers and spares, or one of the host, under {policy}",
         partial(_prepare, policy), share=0.02, limit_s=240.0, may_refuse=False)
    for policy in ("latest", "block", "stop")
)  # fmt: skip
