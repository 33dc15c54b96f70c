"""What a live segmenter hands out: results, events and counters. Times are nanoseconds of one clock, `now_ns`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import EdgescopeError

if TYPE_CHECKING:
    from ..segmentation.result import Segmentation

Kind: TypeAlias = Literal["restart", "fallback", "gave_up"]

# Monotonic, finer than a microsecond, and the same in every process of a machine on Linux, macOS and Windows.
now_ns = time.perf_counter_ns


class RingOverflow(EdgescopeError):
    """Policy "stop": a frame came while the ring was full, and the acquisition is over."""


class RingTimeout(EdgescopeError):
    """Policy "block": the ring stayed full for all of block_timeout_s. The frame was not taken; submit it again."""


@dataclass(frozen=True)
class LiveEvent:
    """Something the operator should know. kind: "restart" of the worker, "fallback" to a backend, or "gave_up"."""

    kind: Kind
    message: str
    backend: str


@dataclass(frozen=True)
class Counters:
    """A snapshot; `seen == done + dropped + failed + pending` holds in every one.

    seen : frames that submit took
    done : segmented and handed over, in time or late
    dropped : replaced by a newer frame, past their deadline with late="skip", or left over by abort()
    failed : frames that came back with an error instead of a segmentation
    pending : waiting or being segmented now
    late : finished after their deadline; such a frame is also among `done`, or with late="skip" among `dropped`
    restarts : workers that were started because one had died, hung or failed
    """

    seen: int = 0
    done: int = 0
    dropped: int = 0
    failed: int = 0
    pending: int = 0
    late: int = 0
    restarts: int = 0


@dataclass(frozen=True, eq=False)
class LiveResult:
    """One frame's result, or, with `error`, the frame that was lost and why.

    index : as submit returned it; results come in its order, and gaps are dropped frames
    metadata : the very object that was given to submit
    segmentation : None when `error` is set
    submitted_ns, started_ns, finished_ns, delivered_ns : the frame's way, by the clock `now_ns`; started_ns and
        finished_ns were taken in the worker, and started_ns is None for a frame that no worker began
    late : finished after its deadline
    flags : what is odd about the frame, see runtime.frames.flags
    backend : what segmented it, or was to
    dropped_before : frames that were dropped between the previous result's and this one
    """

    index: int
    metadata: Any
    segmentation: Segmentation | None
    submitted_ns: int
    started_ns: int | None
    finished_ns: int
    delivered_ns: int
    late: bool
    flags: tuple[str, ...]
    error: str | None
    backend: str
    dropped_before: int = 0

    @property
    def latency_ms(self) -> float:
        """Milliseconds from submit to delivery."""
        return (self.delivered_ns - self.submitted_ns) / 1e6
