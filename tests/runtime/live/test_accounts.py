"""Whatever happens in whatever order, every frame is accounted for: random policies, timings, crashes and readers.

The worker is a thread that answers as a process would, so that hundreds of cases run in seconds; everything else, from
the ring to the delivery, is the real thing.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import EdgescopeError
from runtime.live import LiveSegmenter, RingOverflow, RingTimeout, now_ns
from runtime.live import segmenter as module
from runtime.live.chain import Link
from runtime.live.ledger import Ledger

if TYPE_CHECKING:
    from runtime.artifact.manifest import Manifest


@dataclass(frozen=True)
class Odds:
    """Of what the worker does with a frame, in percent; the rest is segmented."""

    crash: int = 0
    vanish: int = 0  # dies before it begins
    fail: int = 0
    refuse: int = 0  # the frame
    pause_ms: float = 1.0


class Impostor:
    """Stands in for runtime.live.process.Worker."""

    odds = Odds()
    dice = random.Random(0)
    is_gone = False

    def __init__(self, link: Link, block: Any, options: Any, hear: Any) -> None:
        self.link, self.ready, self.started_ns, self.pid = link, False, now_ns(), 0
        self._block, self._hear = block, hear
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def say(self, message: dict[str, Any]) -> None:
        self._jobs.put(message)

    def kill(self, because: str) -> None:
        self._jobs.put(None)

    def stop(self) -> None:
        self._jobs.put(None)

    def describe_end(self) -> str:
        return "it was told to die"

    def _work(self) -> None:
        self._hear(self, {"ready": {}})
        while (job := self._jobs.get()) is not None:
            time.sleep(self.dice.uniform(0, self.odds.pause_ms / 1e3))
            fate = self.dice.uniform(0, 100)
            for name in ("vanish", "crash", "fail", "refuse", "done"):
                fate -= getattr(self.odds, name, 1e9)
                if fate < 0:
                    break
            if name == "vanish":
                break
            try:
                self._block.array(0, (1,), np.int64)[0] += 1
            except EdgescopeError:  # it is closed: a process would have been killed
                return
            if name == "crash":
                break
            answer = {"index": job["index"], "started": now_ns()}
            outcome = (
                {"flags": [], "scale": [1.0, None, "off"]}
                if name == "done"
                else {"error": name, "input": name == "refuse"}
            )
            self._hear(self, {**answer, **outcome, "finished": now_ns()})
        self._hear(self, None)


@st.composite
def scenarios(draw) -> dict[str, Any]:
    percent = st.sampled_from([0, 0, 5, 30])
    return {
        "policy": draw(st.sampled_from(["latest", "block", "stop"])),
        "slots": draw(st.integers(3, 6)),
        "deadline_ms": draw(st.sampled_from([None, 0.5, 3.0, 1e4])),
        "late": draw(st.sampled_from(["deliver", "skip"])),
        "max_failures": draw(st.integers(1, 4)),
        "spare": draw(st.booleans()),
        "odds": Odds(*(draw(percent) for _ in range(4)), pause_ms=draw(st.sampled_from([0.0, 1.0, 4.0]))),
        "gap_ms": draw(st.sampled_from([0.0, 1.0, 3.0])),
        "frames": draw(st.integers(1, 40)),
        "cameras": draw(st.integers(1, 3)),
        "reader_ms": draw(st.sampled_from([0.0, 0.0, 5.0])),
        "end": draw(st.sampled_from(["close", "drain", "abort"])),
        "seed": draw(st.integers(0, 9999)),
    }


@pytest.fixture
def impostor(monkeypatch: pytest.MonkeyPatch, manifest: Manifest) -> None:
    links = [Link(Path("a"), "first", manifest), Link(Path("b"), "second", manifest)]
    monkeypatch.setattr(module, "Worker", Impostor)
    monkeypatch.setattr(module.chains, "build", lambda artifacts, backends: list(links))


def add_up(live: LiveSegmenter) -> bool:
    c = live.counters
    return c.seen == c.done + c.dropped + c.failed + c.pending and c.late <= c.done + c.dropped


@pytest.mark.usefixtures("impostor")
@settings(max_examples=60)
@given(scenarios())
def test_counters_always_add_up_and_results_come_in_order(case: dict[str, Any]):
    case = dict(case)
    Impostor.odds, Impostor.dice = case.pop("odds"), random.Random(case["seed"])
    dice, gap_ms, frames, end = (random.Random(case.pop("seed")), *map(case.pop, ("gap_ms", "frames", "end")))
    cameras = case.pop("cameras")
    called: list[Any] = []
    taken: list[int] = []
    reader_ms = case.pop("reader_ms")

    def call(result: Any) -> None:
        called.append(result)
        time.sleep(reader_ms / 1e3)

    live = LiveSegmenter("any", on_result=call, block_timeout_s=0.01, **case)
    looped = live.results()
    wrong = threading.Event()
    ended = threading.Event()

    def audit() -> None:
        while not ended.is_set():
            if not add_up(live):
                wrong.set()
            time.sleep(0.0005)

    def film() -> None:
        for _ in range(frames):
            try:
                taken.append(live.submit(np.zeros((4, 5), np.uint8)))
            except RingTimeout:
                continue
            except RingOverflow:
                return
            time.sleep(dice.uniform(0, gap_ms / 1e3))

    threads = [threading.Thread(target=film) for _ in range(cameras)] + [threading.Thread(target=audit)]
    for thread in threads:
        thread.start()
    for thread in threads[:-1]:
        thread.join()
    if end == "drain":
        assert live.drain(60)
        assert live.counters.pending == 0
    (live.abort if end == "abort" else live.close)()
    ended.set()
    threads[-1].join()

    counters = live.counters
    assert not wrong.is_set()
    assert add_up(live)
    assert counters.pending == 0
    assert sorted(taken) == list(range(counters.seen))
    indices = [result.index for result in called]
    assert indices == sorted(set(indices))
    if end != "abort":
        looped = list(looped)
        assert [result.index for result in looped] == indices
        assert sum(result.error is None for result in called) == counters.done
        assert sum(result.error is not None for result in called) == counters.failed
        assert sum(result.dropped_before for result in called) <= counters.dropped
        if case["policy"] != "latest" and (case["late"] == "deliver" or case["deadline_ms"] is None):
            assert counters.dropped == 0
    assert not any("supervisor failed" in (result.error or "") for result in called)


@given(
    st.lists(st.sampled_from(["claim", "commit", "withdraw", "take", "finish", "fail", "overtake", "tick"])), st.data()
)
def test_the_ledger_adds_up_after_every_step_and_never_lends_a_slot_twice(steps: list[str], data):
    now = 0
    policy = data.draw(st.sampled_from(["latest", "block", "stop"]))
    late = data.draw(st.sampled_from(["deliver", "skip"]))
    ledger = Ledger(policy, 3, late=late, deadline_ms=2e-6, block_timeout_s=0, clock=lambda: now)
    copying, order = [], []
    taken = None
    for step in steps:
        if step == "tick":
            now += 1
        elif step == "claim":
            try:
                ticket = ledger.claim()
            except (RingTimeout, RingOverflow):
                continue
            if ticket.slot is not None:
                assert ticket.slot not in [other.slot for other in copying]
                assert taken is None or ticket.slot != taken.slot
                copying.append(ticket)
        elif step in ("commit", "withdraw") and copying:
            getattr(ledger, step)(copying.pop(data.draw(st.integers(0, len(copying) - 1))))
        elif step == "take" and taken is None:
            taken = ledger.take()
            order += [taken.index] if taken else []
        elif step in ("finish", "fail") and taken is not None:
            ledger.finish(now) if step == "finish" else ledger.fail()
            taken = None
        elif step == "overtake" and ledger.counters.done:
            ledger.overtake()
        c = ledger.counters
        assert c.seen == c.done + c.dropped + c.failed + c.pending
        assert order == sorted(set(order))


def test_settling_what_was_not_taken_is_an_error_of_ours():
    with pytest.raises(EdgescopeError, match="No frame is being segmented"):
        Ledger("latest", 3).finish(0)
