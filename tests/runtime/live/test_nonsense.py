"""A worker that says anything at all: the host is told, every frame is settled, and nobody waits for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import EdgescopeError
from runtime.live import LiveSegmenter, supervisor
from runtime.system import child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its pipes are read in another way there")

# Stands in for a worker, up to the answer. `good` is an answer as a worker gives it.
SCRIPT = """
import json, os, subprocess, sys, time
setup = json.loads(sys.stdin.buffer.readline())
def say(data):
    os.write(1, data)
{before}
say(b'{{"ready": {{}}}}\\n')
for line in sys.stdin.buffer:
    job = json.loads(line)
    good = {{"index": job["index"], "started": 1, "finished": 2, "flags": [], "scale": [1.0, None, "off"]}}
    {answer}
"""
GOOD = "say(json.dumps(good).encode() + b'\\n')"


def told(**changes: Any) -> str:
    """The line of a script that gives a good answer with some fields changed; with ... they are left out."""
    kept = {name: value for name, value in changes.items() if value is not ...}
    left_out = [name for name, value in changes.items() if value is ...]
    return f"good.update({kept!r}); [good.pop(name) for name in {left_out!r}]; {GOOD}"


@pytest.fixture
def scripted(
    artifact_path: Path, backend: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., LiveSegmenter]]:
    """scripted(answer, before="pass", **arguments) opens a live segmenter whose workers are scripts."""
    opened: list[LiveSegmenter] = []

    def build(answer: str, before: str = "pass", **arguments: Any) -> LiveSegmenter:
        monkeypatch.setattr(child, "START", SCRIPT.format(answer=answer, before=before))
        settings = {"spare": False, "policy": "block", "hang_s": 2.0, "backends": [backend()], **arguments}
        opened.append(LiveSegmenter(artifact_path, **settings))
        return opened[-1]

    yield build
    for one in opened:
        one.abort()


NONSENSE = {
    "no scale": told(scale=...),
    "a scale of text": told(scale="x"),
    "a short scale": told(scale=[1.0]),
    "a negative scale": told(scale=[-1.0, None, "off"]),
    "no flags": told(flags=3),
    "no times": told(finished=...),
    "an error of no text": told(error=3, input=False),
    "an error of nobody": told(error="x", input="x"),
    "objects that were not asked for": told(count=3),
    "tracks that were not asked for": told(last_id=3),
    "an unknown field": told(more=1),
    "no index": told(index=...),
    "an index of text": told(index="x"),
    "a number": "say(b'3\\n')",
    "a list": "say(b'[1]\\n')",
    "null": "say(b'null\\n')",
    "an empty line": "say(b'\\n')",
    "no text": "say(b'\\xff\\xfe\\n')",
    "not a number": told(started=float("nan")),
    "deep brackets": "say(b'[' * 100000 + b'\\n')",
    "a refusal of nothing": "say(b'{\"refused\": 3}\\n')",
    "half a line": "say(json.dumps(good).encode()[:20]); os._exit(3)",
    "half a line, and it stays": "say(json.dumps(good).encode()[:20]); os.close(1); time.sleep(1e6)",
    "a line without end": "say(b'x' * (1 << 16)) if False else [say(b'x' * (1 << 16)) for _ in range(40)]",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_after_nonsense_the_frame_comes_back_with_an_error_and_the_end_is_told(scripted, spots, answer: str):
    events = []
    with scripted(answer, max_failures=2, on_event=events.append) as live:
        for i in range(3):
            live.submit(spots(i))
        assert live.drain(60)
        results = list(live.results())
        counters = live.counters
    assert [result.index for result in results] == [0, 1, 2]
    assert all(result.error for result in results)
    assert (counters.seen, counters.failed, counters.pending) == (3, 3, 0)
    assert events[-1].kind == "gave_up"


@pytest.mark.parametrize("until", ["labels", "objects"])
@pytest.mark.parametrize("count", [..., -1, 10**9, 1.5])
def test_a_count_that_does_not_fit_is_nonsense(scripted, spots, until: str, count: Any):
    with scripted(told(count=count), max_failures=1, until=until) as live:
        live.submit(spots())
        assert live.drain(60)
        assert next(live.results()).error


def test_one_line_of_nonsense_costs_one_worker(scripted, spots, tmp_path: Path):
    once = f"p = {str(tmp_path / 'once')!r}; say(b'3\\n') if not os.path.exists(p) and open(p, 'w') else {GOOD}"
    with scripted(once) as live:
        for i in range(3):
            live.submit(spots(i))
        assert live.drain(60)
        assert [result.error for result in live.results()] == [None] * 3  # the script never beat: frame 0 was not begun
        assert live.counters.restarts == 1


def test_an_end_behind_a_process_that_holds_the_pipe_is_told(scripted, spots):
    holds = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(6)']); os._exit(3)"
    with scripted(holds, max_failures=1, hang_s=30.0) as live:
        live.submit(spots())
        assert live.drain(60)
        assert "exit code 3" in next(live.results()).error


def test_nonsense_before_the_model_is_open_is_an_error_at_open(scripted):
    with pytest.raises(EdgescopeError, match="no message"):
        scripted("pass", before="say(b'3\\n'); time.sleep(1e6)", max_failures=2)


def test_a_worker_that_reads_nothing_is_given_up(scripted, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [*sys.path, "x" * (1 << 20)])  # more than a pipe holds
    monkeypatch.setattr(child, "command", lambda title: [sys.executable, "-c", "import time; time.sleep(1e6)", title])
    with pytest.raises(EdgescopeError, match="was not open after 1 s"):
        scripted("pass", open_timeout_s=1.0, max_failures=1)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), TypeError("odd"), OSError("no process")])
def test_whatever_keeps_a_worker_from_starting_is_said_at_open(live, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(EdgescopeError, match=f"no worker could be started: {error}"):
        live()


def refuse_thread(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The system has none left for it."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == name:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("name", ["edgescope-live-delivery", "edgescope-live-supervisor"])
def test_a_system_without_a_thread_for_it_is_told_in_words(live, monkeypatch: pytest.MonkeyPatch, name: str):
    refuse_thread(monkeypatch, name)
    with pytest.raises(EdgescopeError, match="not enough memory to segment live: can't start new thread"):
        live()


def test_without_a_thread_to_set_memory_aside_frames_are_segmented(live, spots, monkeypatch: pytest.MonkeyPatch):
    refuse_thread(monkeypatch, "edgescope-live-reserve")
    with live(policy="block") as segmenter:
        segmenter.submit(spots())
        assert segmenter.drain(60)
        assert next(segmenter.results()).error is None


def test_numbers_of_numpy_are_numbers(live, spots):
    with live(threads=np.int64(1), hang_s=np.float32(20.0), policy="block") as segmenter:
        segmenter.submit(spots(), pixel_size_um=np.float32(0.5))
        assert segmenter.drain(60)
        assert next(segmenter.results()).error is None


def test_no_memory_for_the_copy_of_a_result_loses_that_frame_alone(live, spots, monkeypatch: pytest.MonkeyPatch):
    with live(policy="block") as segmenter:
        copy = segmenter._block.copy_out
        tries = iter([MemoryError("none was left")])

        def once(*place: Any) -> np.ndarray:
            for error in tries:
                raise error
            return copy(*place)

        monkeypatch.setattr(segmenter._block, "copy_out", once)
        for i in range(3):
            segmenter.submit(spots(i))
        assert segmenter.drain(60)
        errors = [result.error for result in segmenter.results()]
        counters = segmenter.counters
    assert "none was left" in errors[0]
    assert errors[1:] == [None, None]
    assert (counters.done, counters.failed, counters.pending) == (2, 1, 0)


@pytest.mark.parametrize("place", ["_next_event", "_watch", "_give", "_hear"])
@pytest.mark.parametrize("times", [1, 99])
def test_an_error_of_ours_settles_every_frame_and_close_returns(
    live, spots, monkeypatch: pytest.MonkeyPatch, place: str, times: int
):
    with live(policy="block") as segmenter:
        method = getattr(segmenter._supervisor, place)
        tries = iter([KeyError("scale")] * times)

        def fail(*arguments: Any) -> None:
            for error in tries:
                raise error
            method(*arguments)

        monkeypatch.setattr(segmenter._supervisor, place, fail)
        try:
            for i in range(3):
                segmenter.submit(spots(i))
        except EdgescopeError as error:
            assert "has ended" in str(error)
        assert segmenter.drain(30)
        counters = segmenter.counters
        assert counters.seen == counters.done + counters.dropped + counters.failed
        closing = threading.Thread(target=segmenter.close, daemon=True)
        closing.start()
        closing.join(30)
        assert not closing.is_alive()


def test_an_on_event_that_never_returns_does_not_hold_up_abort(live, spots, monkeypatch: pytest.MonkeyPatch, until):
    monkeypatch.setattr(supervisor, "STOP_S", 0.5)
    release, told_of = threading.Event(), []
    segmenter = live(policy="block", on_event=lambda event: (told_of.append(event), release.wait(60)))
    os.kill(segmenter.worker_pid, 9)
    until(lambda: told_of)
    segmenter.submit(spots())
    segmenter.abort()
    assert segmenter.counters.pending == 0
    release.set()
    segmenter._supervisor._thread.join(30)
    assert not segmenter._supervisor._thread.is_alive()


def test_a_queue_that_takes_nothing_does_not_end_the_delivery(live, spots):
    class Shut:
        def put(self, result: Any, timeout: float) -> None:
            raise ValueError(timeout)

    with live(policy="block", queue=Shut()) as segmenter:
        for i in range(2):
            segmenter.submit(spots(i))
        assert segmenter.drain(60)
        assert segmenter.counters.done == 2


def test_a_dead_spare_is_replaced_after_the_next_frame(live, spots, until):
    with live(policy="block", spare=True) as segmenter:
        until(lambda: segmenter._supervisor._spare and segmenter._supervisor._spare.ready)
        dead = segmenter._supervisor._spare.pid
        os.kill(dead, 9)
        until(lambda: segmenter._supervisor._spare is None)
        segmenter.submit(spots())
        until(lambda: segmenter._supervisor._spare and segmenter._supervisor._spare.ready)
        assert segmenter._supervisor._spare.pid != dead


def test_a_worker_that_opens_slower_than_the_one_before_is_not_awaited_for_long(
    live, backend, spots, ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supervisor, "OPEN_AGAIN_S", 0.5)
    slow = f"Path({str(tmp_path)!r}, 'slow').exists() and time.sleep(1e6)"
    with live(backends=[backend(opening=slow)], policy="block", max_failures=2) as segmenter:
        segmenter._supervisor._took_s["fake"] = 0.01
        ask("slow")
        os.kill(segmenter.worker_pid, 9)
        segmenter.submit(spots())
        assert segmenter.drain(60)
        assert "was not open after 0.5 s" in next(segmenter.results()).error
