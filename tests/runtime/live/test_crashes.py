"""What the worker does not survive, the host does: every way to die, for real, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime import EdgescopeError, InputError
from runtime.live import LiveSegmenter

SEGFAULT = "once('die') and ctypes.string_at(0)"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes by signals")


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z" not in stat.read_text()


def outcome(segmenter: LiveSegmenter) -> list[str | None]:
    """The errors of all results, in order, when everything is settled."""
    assert segmenter.drain(60)
    results = list(segmenter.results())
    assert [result.index for result in results] == list(range(results[0].index, results[-1].index + 1))
    counters = segmenter.counters
    assert counters.seen == counters.done + counters.dropped + counters.failed + counters.pending
    return [result.error for result in results]


@pytest.mark.parametrize(
    ("fault", "words", "hang_s"),
    [
        (SEGFAULT, "killed by SIGSEGV", 60.0),
        ("once('die') and os._exit(3)", "exit code 3", 60.0),
        ("once('die') and os.kill(os.getpid(), 9)", "killed by SIGKILL; was there enough memory?", 60.0),
        ("once('die') and time.sleep(1e6)", "hung: no tile was finished for 5 s", 5.0),
    ],
    ids=["segfault", "exit", "kill", "hang"],
)
def test_the_frame_that_killed_the_worker_is_told_and_the_others_are_segmented(
    live, backend, spots, ask, fault: str, words: str, hang_s: float
):
    events = []
    with live(backends=[backend(fault=fault)], policy="block", hang_s=hang_s, on_event=events.append) as segmenter:
        ask("die")
        first = segmenter.worker_pid
        for i in range(4):
            segmenter.submit(spots(i), i)
        errors = outcome(segmenter)
        assert segmenter.worker_pid != first
    assert words in errors[0]
    assert errors[1:] == [None, None, None]
    assert (segmenter.counters.done, segmenter.counters.failed, segmenter.counters.restarts) == (3, 1, 1)
    assert [event.kind for event in events] == ["restart"]
    assert words in events[0].message


def test_a_frame_that_the_dead_worker_had_not_begun_is_not_lost(live, spots):
    with live(policy="block") as segmenter:
        segmenter.submit(spots())
        segmenter.drain()
        os.kill(segmenter.worker_pid, signal.SIGKILL)
        for i in range(3):
            segmenter.submit(spots(i))
        assert outcome(segmenter) == [None] * 4
        assert segmenter.counters.restarts == 1


def test_a_stopped_worker_is_noticed_and_replaced(live, spots):
    with live(policy="block", hang_s=5.0) as segmenter:
        stopped = segmenter.worker_pid
        os.kill(stopped, signal.SIGSTOP)
        segmenter.submit(spots())
        assert outcome(segmenter) == [None]
        assert not alive(stopped)


def test_the_spare_takes_over_and_is_replaced(live, backend, spots, ask, until):
    with live(backends=[backend(fault=SEGFAULT)], policy="block", spare=True) as segmenter:
        for _ in range(2):
            until(lambda: segmenter._supervisor._spare and segmenter._supervisor._spare.ready)
            spare = segmenter._supervisor._spare.pid
            ask("die")
            segmenter.submit(spots())
            segmenter.drain()
            until(lambda due=spare: segmenter.worker_pid == due)
    assert (segmenter.counters.failed, segmenter.counters.restarts) == (2, 2)


def test_a_spare_that_dies_harms_nothing(live, spots, until):
    with live(policy="block", spare=True) as segmenter:
        until(lambda: segmenter._supervisor._spare)
        os.kill(segmenter._supervisor._spare.pid, signal.SIGKILL)
        until(lambda: segmenter._supervisor._spare is None)
        segmenter.submit(spots())
        assert outcome(segmenter) == [None]
        assert segmenter.counters.restarts == 0


def test_after_failures_in_a_row_the_next_backend_takes_over_and_it_is_said_once(live, backend, spots):
    events = []
    chain = [backend("bad", fault="ctypes.string_at(0)"), backend("good")]
    with live(backends=chain, policy="block", max_failures=2, on_event=events.append) as segmenter:
        assert segmenter.backend == "bad"
        for i in range(5):
            segmenter.submit(spots(i))
        segmenter.drain()
        results = list(segmenter.results())
        assert segmenter.backend == "good"
    assert [result.backend for result in results] == ["bad", "bad", "good", "good", "good"]
    assert [result.error is None for result in results] == [False, False, True, True, True]
    assert [event.kind for event in events] == ["restart", "fallback"]
    assert "bad failed 2 time(s) in a row" in events[1].message


def test_a_success_in_between_starts_the_count_anew(live, backend, spots, ask):
    chain = [backend("flaky", fault=SEGFAULT), backend("good")]
    with live(backends=chain, policy="block", max_failures=2) as segmenter:
        for _ in range(3):
            ask("die")
            segmenter.submit(spots())
            segmenter.submit(spots())
            segmenter.drain()
        assert segmenter.backend == "flaky"
        assert segmenter.counters.failed == 3


def test_when_no_backend_is_left_frames_come_back_with_the_error_and_the_host_goes_on(live, backend, spots):
    events = []
    only = backend(fault="ctypes.string_at(0)")
    with live(backends=[only], policy="block", slots=3, max_failures=2, on_event=events.append) as segmenter:
        for i in range(10):  # more than the ring holds: nothing blocks
            segmenter.submit(spots(i))
        errors = outcome(segmenter)
    assert all(errors)
    assert "no backend is left" in errors[-1]
    assert segmenter.counters.failed == 10
    assert [event.kind for event in events] == ["restart", "gave_up"]


def test_no_memory_in_the_worker_is_told_and_goes_on_with_the_next_backend(live, backend, spots):
    chain = [backend("huge", fault="np.empty(1 << 60, np.uint8)"), backend("small")]
    with live(backends=chain, policy="block", max_failures=1) as segmenter:
        segmenter.submit(spots())
        segmenter.submit(spots())
        errors = outcome(segmenter)
    assert "not enough memory" in errors[0]
    assert errors[1] is None


def test_no_memory_for_the_ring_is_said_at_open(live):
    with pytest.raises(EdgescopeError, match="no memory for a ring of"):
        live(max_frame_bytes=1 << 50)


def test_a_backend_that_cannot_open_is_passed_over_at_open(live, backend, spots):
    broken = backend("broken", opening="raise RuntimeError('driver too old')")
    with live(backends=[broken, backend("good")], policy="block") as segmenter:
        assert segmenter.backend == "good"
    with pytest.raises(EdgescopeError, match="broken: RuntimeError: driver too old"):
        live(backends=[broken])


def test_a_backend_that_crashes_on_opening_is_given_up_after_some_trials(live, backend):
    crashes = backend("crashes", opening="ctypes.string_at(0)")
    with pytest.raises(EdgescopeError, match="crashes: the worker was killed by SIGSEGV"):
        live(backends=[crashes], max_failures=2)


def test_a_backend_that_hangs_on_opening_is_given_up(live, backend):
    with pytest.raises(EdgescopeError, match=r"not open after 0\.5 s"):
        live(backends=[backend("hangs", opening="time.sleep(1e6)")], open_timeout_s=0.5, max_failures=1)


def test_a_damaged_artefact_is_one_clear_error_at_open(artifact_path: Path):
    payload = artifact_path / "model.onnx"
    payload.write_bytes(payload.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"model\.onnx was changed"):
        LiveSegmenter(artifact_path)


def test_an_artefact_that_is_replaced_is_not_mixed_with_the_old_one(
    made, artifact_path: Path, live, backend, spots, ask
):
    from dataclasses import replace

    with live(backends=[backend(fault=SEGFAULT)], policy="block", max_failures=1) as segmenter:
        replace(made, manifest=replace(made.manifest, threshold=0.9)).write(artifact_path)
        ask("die")
        for _ in range(2):
            segmenter.submit(spots())
        errors = outcome(segmenter)
    assert errors[1] is not None


def test_what_a_backend_prints_does_not_disturb(live, backend, spots):
    noisy = backend(fault="print('noise'); os.write(1, b'more noise')")
    with live(backends=[noisy], policy="block") as segmenter:
        segmenter.submit(spots())
        assert outcome(segmenter) == [None]


def test_closing_leaves_no_process(live, spots, until):
    segmenter = live(spare=True, policy="block")
    segmenter.submit(spots())
    until(lambda: segmenter._supervisor._spare)
    pids = [segmenter.worker_pid, segmenter._supervisor._spare.pid]
    segmenter.close()
    assert not any(alive(pid) for pid in pids)


HOST = """
import sys, time
import numpy as np
from runtime import backends
from runtime.live import LiveSegmenter

backends.__path__.append(sys.argv[2])
live = LiveSegmenter(sys.argv[1], policy="block", backends=["fake"], spare=True, hang_s=5.0)
live.submit(np.zeros((32, 48), np.uint16))
while not (live._supervisor._spare and live._supervisor._spare.ready):
    time.sleep(0.01)
print(live.worker_pid, live._supervisor._spare.pid, flush=True)
{then}
"""


def host(then: str, artifact: Path, folder: Path, **kwargs) -> subprocess.Popen[str]:
    code = HOST.format(then=then)
    command = [sys.executable, "-c", code, str(artifact), str(folder)]
    root = str(Path(__file__).parents[3])
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root, **kwargs)


@pytest.mark.parametrize("fault", ["pass", "time.sleep(1e6)"], ids=["idle", "busy"])
def test_after_kill_9_of_the_host_nothing_is_left(artifact_path: Path, backend, tmp_path: Path, until, fault: str):
    backend(fault=fault)
    shared = set(Path("/dev/shm").glob("*"))
    with host("time.sleep(1e6)", artifact_path, tmp_path / "backends") as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert all(alive(pid) for pid in pids)
        process.kill()
        until(lambda: not any(alive(pid) for pid in pids))
        assert process.stderr.read() == ""
    assert set(Path("/dev/shm").glob("*")) <= shared


def test_after_kill_9_a_fork_of_the_host_that_holds_the_pipe_changes_nothing(
    artifact_path: Path, backend, tmp_path: Path, until
):
    backend()
    fork = "import os, warnings; warnings.simplefilter('ignore'); os.fork() or time.sleep(8); time.sleep(1e6)"
    with host(fork, artifact_path, tmp_path / "backends", start_new_session=True) as process:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
        until(lambda: not any(alive(pid) for pid in pids))
        os.killpg(process.pid, signal.SIGKILL)


def test_a_fork_of_the_host_cannot_touch_the_ring_and_ends_without_waiting(
    artifact_path: Path, backend, tmp_path: Path
):
    """It has no threads, and its books are a copy: what it copied into a slot would be another frame of the host."""
    backend()
    then = """
import os, warnings
warnings.simplefilter("ignore")
child = os.fork()
for use in () if child else (lambda: live.submit(np.zeros((32, 48), np.uint16)), live.drain, live.results):
    try:
        use()
    except Exception as error:
        print(type(error).__name__, "fork" in str(error), flush=True)
if child:
    print(os.waitpid(child, 0)[1], flush=True)
    live.submit(np.zeros((32, 48), np.uint16))
    live.close()
    print(live.counters.done)
else:
    live.close()
"""
    with host(then, artifact_path, tmp_path / "backends") as process:
        said, complained = process.communicate(timeout=60)
    assert said.splitlines()[1:] == 3 * ["EdgescopeError True"] + ["0", "2"]
    assert complained == ""


@pytest.mark.parametrize("then", ["pass", "live.close()", "sys.exit(3)", "raise KeyError"])
def test_a_host_that_ends_without_closing_leaves_nothing_and_no_warning(
    artifact_path: Path, backend, tmp_path: Path, then: str
):
    backend()
    with host(then, artifact_path, tmp_path / "backends") as process:
        said, complained = process.communicate(timeout=60)
    assert not any(alive(int(pid)) for pid in said.split())
    assert ("KeyError" in complained) if "KeyError" in then else complained == ""


def test_a_host_without_a_main_module_works(artifact_path: Path, tmp_path: Path):
    """As in a REPL: nothing of the host's __main__ is imported by the worker, and nothing needs a guard."""
    code = f"""
from runtime.live import LiveSegmenter
import numpy as np, os
os.chdir("/")
with LiveSegmenter({str(artifact_path)!r}, policy="block", spare=False) as live:
    live.submit(np.eye(40, dtype=np.uint8))
    live.drain()
    print(live.counters.done)
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-"], input=code, cwd=root, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_nothing_leaks_over_many_live_segmenters(live, spots):
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    counts = []
    for _ in range(4):
        with live(policy="block") as segmenter:
            segmenter.submit(spots())
        counts.append(handles())
    assert counts[-1] == counts[0]


def test_the_ring_is_freed_on_close(live):
    def shared_kb() -> int:
        return sum(
            int(line.split()[1])
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("RssShmem")
        )

    before = shared_kb()
    segmenter = live(policy="block", slots=8, max_frame_bytes=1 << 20)
    for _ in range(20):
        segmenter.submit(np.zeros((512, 512), np.uint16))
    segmenter.close()
    assert shared_kb() <= before + 1024
