"""A camera with and without segmentation attached, in one run: what the acquisition notices of it.

Phases alternate, so that a machine that grows busier harms both alike: without (each frame is copied once, by numpy),
and with (each frame is submitted, and its result carried on to the mask, labels or objects in the thread that receives
it). The camera runs on through neither: every phase is a sequence of its own.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.camera.camera import Camera
from benchmarks.inputs.stream import CameraStream
from benchmarks.measures.latency import Latency, summarize, timed
from benchmarks.measures.stages import FINISH
from runtime.errors import InputError
from runtime.live import Counters, LiveResult, LiveSegmenter, RingOverflow, RingTimeout
from runtime.records import Record

PHASES = 2  # of each kind
WAIT_S = 0.0005  # between two looks at an empty camera buffer

HANDOVER = "results at most one frame old when handed over"
SUBMIT_P99_MS, SUBMIT_MAX_MS, RATE_SHARE = 3.0, 20.0, 0.98  # what the project promises


@dataclass(frozen=True)
class Interval(Record):
    """The camera's own frame interval in milliseconds, and how it varies."""

    frames: int
    rate: float
    mean_ms: float
    sd_ms: float
    p99_ms: float | None
    max_ms: float


@dataclass(frozen=True)
class LiveReport(Record):
    """What one run found. `acquired` are the frames that the camera delivered while segmentation was attached.

    copy : milliseconds that numpy takes to copy the same frames once, in the phases without segmentation
    until : where a frame ends, "mask", "labels" or "objects"
    latency : milliseconds from submit to that end
    frames_per_s : frames that reached that end, a second of acquisition
    handover : milliseconds that a segmented frame's result waited until it was handed over
    behind : frames that were submitted after the one of a result when it was handed over, as a distribution
    rate_share : frames a second with segmentation, as a share of those without
    """

    camera: str
    source: str
    policy: str
    backend: str
    acquired: int
    refused: int
    counters: Mapping[str, int]
    submit: Latency
    copy: Latency
    latency: Latency
    without: Interval
    attached: Interval
    rate_share: float
    until: str
    frames_per_s: float
    overflowed: bool
    ended: str | None
    handover: Latency
    behind: Latency

    @property
    def adds_up(self) -> bool:
        """Whether every frame is accounted for: by the ledger, and between the camera and the ledger."""
        c = self.counters
        settled = c["seen"] == c["done"] + c["dropped"] + c["failed"] and not c["pending"]
        return settled and self.acquired == c["seen"] + self.refused

    @property
    def verdicts(self) -> dict[str, bool | None]:
        """Each promise, and whether this run kept it; None where there were too few samples.

        Of the policy "block" no short submit is promised: it waits while the ring is full. How old a result is counts
        from the time when it was finished: no newer frame than one came to its end, or could have, before it was
        handed over. How far it is behind the camera, by the time that the frame takes, is `behind`.
        """
        p99, most = self.submit.p99, self.submit.max
        short = {
            f"submit p99 at most {SUBMIT_P99_MS:g} ms": None if p99 is None else p99 <= SUBMIT_P99_MS,
            f"submit never over {SUBMIT_MAX_MS:g} ms": None if most is None else most <= SUBMIT_MAX_MS,
        }
        wait = self.handover.max
        newest = {HANDOVER: None if wait is None else wait <= self.attached.mean_ms}
        lost = self.refused + self.counters["dropped"] + self.counters["failed"]
        return {
            "every frame is accounted for": self.adds_up,
            f"keeps up: every frame got its {self.until}": not lost,
            **({} if self.policy == "block" else short),
            **(newest if self.policy == "latest" else {}),
            f"rate at least {100 * RATE_SHARE:g} % of that without": self.rate_share >= RATE_SHARE,
        }


@dataclass
class PhaseSamples:
    """Samples of the phases of one kind: milliseconds a frame, and the camera's times of each sequence."""

    cost_ms: list[float] = field(default_factory=list)
    times_ms: list[list[float]] = field(default_factory=list)
    refused: int = 0
    ended: str | None = None

    @property
    def frames(self) -> int:
        """How many frames the camera delivered."""
        return sum(len(times) for times in self.times_ms)

    def interval(self) -> Interval:
        """The camera's interval over all sequences."""
        gaps = np.concatenate([np.diff(times) for times in self.times_ms])
        p99 = float(np.percentile(gaps, 99)) if len(gaps) >= 100 else None
        mean = float(gaps.mean())
        return Interval(self.frames, 1e3 / mean, mean, float(gaps.std()), p99, float(gaps.max()))


def measure(
    camera: Camera,
    stream: CameraStream,
    source: str,
    open_live: Callable[[Callable[[LiveResult], object]], LiveSegmenter],
    policy: str,
    frames: int,
    until: str,
    step: Callable[[str], None],
) -> LiveReport:
    """Run all phases.

    open_live : opens the live segmenter with the callback it is given
    frames : in all phases with segmentation together; as many again without
    until : where a frame ends; InputError for "network", which no live result stops at
    """
    finish = finishing(until)
    latencies: list[float] = []
    handovers: list[float] = []
    behind: list[float] = []

    def receive(result: LiveResult) -> None:
        if result.error is None:
            handovers.append((result.delivered_ns - result.finished_ns) / 1e6)
            behind.append(live.counters.seen - 1 - result.index)
        latencies.append(result.latency_ms + timed(lambda: finish(result)))

    without, attached = PhaseSamples(), PhaseSamples()
    with open_live(receive) as live:
        buffer = np.empty(stream.shape, np.uint8 if stream.bits == 8 else np.uint16)
        for _ in range(PHASES):
            step("without segmentation")
            _sequence(camera, frames // PHASES, without, lambda frame: np.copyto(buffer, frame))
            step("with segmentation")
            _sequence(camera, frames // PHASES, attached, lambda frame: live.submit(frame, frame))
            live.drain()
        backend = live.backend
    before, after = without.interval(), attached.interval()
    return LiveReport(
        camera=f"{stream.height}x{stream.width}x{stream.bits}@{stream.rate:g}",
        source=source,
        policy=policy,
        backend=backend,
        acquired=attached.frames,
        refused=attached.refused,
        counters=_plain(live.counters),
        submit=summarize(attached.cost_ms),
        copy=summarize(without.cost_ms),
        latency=summarize(latencies),
        without=before,
        attached=after,
        rate_share=after.rate / before.rate,
        until=until,
        frames_per_s=after.rate * live.counters.done / max(1, attached.frames),
        overflowed=camera.overflowed,
        ended=attached.ended,
        handover=summarize(handovers),
        behind=summarize(behind),
    )


def finishing(until: str) -> Callable[[LiveResult], object]:
    """What is done with a result until the frame's end, as far as the worker has not done it."""
    if until not in FINISH:
        msg = f"A live frame cannot end at {until!r}; give one of {', '.join(FINISH)}."
        raise InputError(msg)
    finish = FINISH[until]

    def finish_here(result: LiveResult) -> object:
        segmentation = result.segmentation
        return segmentation and finish(segmentation, result.metadata if segmentation.measured is None else None)

    return finish_here


def _sequence(camera: Camera, frames: int, phase: PhaseSamples, take: Callable[[Any], object]) -> None:
    """Acquire a number of frames, handing each to `take`, whose time is the cost. Policy "stop" may end it earlier."""
    if phase.ended:
        return
    times: list[float] = []
    phase.times_ms.append(times)
    camera.start()
    try:
        while len(times) < frames:
            shot = camera.pop()
            if shot is None:
                time.sleep(WAIT_S)
                continue
            times.append(shot.at_ms)
            start = time.perf_counter_ns()
            try:
                take(shot.frame)
            except RingTimeout:
                phase.refused += 1
            except RingOverflow as error:
                phase.refused += 1
                phase.ended = str(error)
                return
            phase.cost_ms.append((time.perf_counter_ns() - start) / 1e6)
    finally:
        camera.stop()


def _plain(counters: Counters) -> dict[str, int]:
    names = ("seen", "done", "dropped", "failed", "pending", "late", "restarts")
    return {name: getattr(counters, name) for name in names}
