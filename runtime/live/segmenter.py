"""A segmenter for a camera that must not wait: frames go in at once, results come out in order.

with LiveSegmenter("nuclei-fast-intel-int8", policy="latest") as live:
    live.submit(frame, metadata={"position": 3})
    for result in live.results():
        result.segmentation.mask
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import time
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ..errors import EdgescopeError, InputError, enough_memory
from ..frames.normalize import check_form
from ..frames.scale import DiameterRequest, check_pixel_size
from ..objects.rule import RuleChange
from ..objects.tracks import Tracks
from ..system.processor import usable_cores
from . import chain as chains
from .ledger import Late, Ledger, Policy
from .memory import RingLayout, SharedBlock
from .outbox import Outbox
from .process import Worker
from .result import ResultLayout, Until
from .supervisor import RESULTS, Care, Picture, Supervisor

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from ..frames.normalize import Frame
    from ..frames.scale import Diameter
    from .result import Counters, LiveEvent, LiveResult

log = logging.getLogger(__name__)

FEWEST_SLOTS = 3  # one frame is segmented, one waits, one is being copied
SLOTS_FOR_LATEST = 4  # under "latest" at most one frame waits: more slots than these would lie idle


class LiveSegmenter:
    """An artefact in a process of its own, fed through a ring in shared memory. Use it as a context manager.

    policy : what happens to a frame that comes while others wait.
        "latest" replaces the waiting one, which is dropped and counted; submit never waits. A result that waits for a
            busy callback, queue or loop is replaced by a newer one alike.
        "block" lets submit wait for a slot, up to block_timeout_s, and then raises RingTimeout; no frame is lost.
        "stop" raises RingOverflow and takes no more frames; those in the ring are still segmented.
    """

    def __init__(
        self,
        artifact_path: str | Path | Sequence[str | Path],
        policy: Policy = "latest",
        slots: int = 8,
        max_frame_bytes: int | None = None,
        *,
        deadline_ms: float | None = None,
        late: Late = "deliver",
        backends: Sequence[str] | None = None,
        device: str | None = None,
        threads: int | None = None,
        diameter: Diameter | None = None,
        threshold: float | None = None,
        min_area: int | None = None,
        prominence: float | None = None,
        until: Until = "mask",
        track: float | None = None,
        block_timeout_s: float = 5.0,
        hang_s: float | None = None,
        open_timeout_s: float = 600.0,
        max_failures: int = 3,
        spare: bool = True,
        backlog_bytes: int = 512 << 20,
        on_result: Callable[[LiveResult], object] | None = None,
        queue: queue.Queue[LiveResult] | None = None,
        on_event: Callable[[LiveEvent], object] | None = None,
    ) -> None:
        """Open the artefact in a worker; returns when it is ready for frames.

        artifact_path : folder or .zip; several are the same student for several backends, for a longer chain
        slots : frames that the ring holds, at least 3; "latest" uses no more than 4
        max_frame_bytes : of the largest frame; None takes the first frame's, and reserves the memory then
        deadline_ms : from submit to the end of what `until` names; a frame over it is late
        late : "deliver" late results, marked so, or "skip" them: they count as late and as dropped
        backends : the only ones allowed, in this order; None is the artefact's own, then the others by their
            rank (see runtime.backend.Backend), as far as they can run the artefact
        device : of the backends, e.g. "GPU"
        threads : of the worker; None leaves one core to the acquisition
        diameter : as in Segmenter.open. Where it is seen, the first frame that shows it decides for all frames of the
            same size and pixel size
        threshold, min_area, prominence : in place of the artefact's own, as in Segmenter.open; each result's
            segmentation says in `threshold` and `rule` what was used
        until : what the worker computes of a frame, within its deadline: "mask" (the maps), "labels", or "objects",
            whose table has the intensities of the frame. What it does not is computed here when it is asked for
        track : least intersection over union at which an object follows one of the frame before, for example 0.3:
            result.segmentation.ids are then numbers that stay with objects; None does not follow them
        hang_s : the worker is killed when it finishes no tile for so long; None is 20 s, or with a deadline
            5 times that and at least 3 s. On Linux, time in which it gets no processor does not count
        open_timeout_s : for a worker to open its model. It builds no TensorRT engine, which takes minutes: without one
            (python -m runtime prewarm) that backend is passed over
        max_failures : after so many in a row the next backend takes over
        spare : keep a second worker with an open model, so that a restart takes milliseconds; costs its memory
        backlog_bytes : of results that nobody has taken yet; beyond it no further frame is segmented
        on_result, queue : receive every result, in a thread of their own
        on_event : told once of each restart, fallback and giving up, which are also logged; it should return soon
        InputError when the artefact is damaged or cannot run here, EdgescopeError when no worker could open it.
        """
        _check_choices(policy, late)
        DiameterRequest.of(diameter)
        change = RuleChange(threshold, min_area, prominence)
        _check_counts(slots=slots, max_frame_bytes=max_frame_bytes, max_failures=max_failures, threads=threads)
        _check_times(deadline_ms=deadline_ms, hang_s=hang_s, open_timeout_s=open_timeout_s)
        _check_limits(block_timeout_s, backlog_bytes)
        _check_until(until, track)
        given = [artifact_path] if isinstance(artifact_path, (str, os.PathLike)) else artifact_path
        chain = chains.build([Path(path) for path in given], [backends] if isinstance(backends, str) else backends)
        self._places = [ResultLayout.of(until, link.manifest, change) for link in chain]
        self._slots = min(slots, SLOTS_FOR_LATEST) if policy == "latest" else slots
        self._ledger = Ledger(policy, self._slots, late=late, deadline_ms=deadline_ms, block_timeout_s=block_timeout_s)
        self._block = SharedBlock.create()
        self._layout: RingLayout | None = None
        self._layout_lock = threading.Lock()
        self._unreserved = False
        self._reserving: threading.Thread | None = None
        self._drained = False
        self._closed = False
        self._pid = os.getpid()
        cores = usable_cores()
        hang_s = hang_s or (20.0 if deadline_ms is None else max(3.0, 5 * deadline_ms / 1e3))
        options = {"device": device, "threads": threads or max(1, cores - 1), "diameter": diameter, "hang_s": hang_s}
        options |= {"until": until, "track": track, "change": asdict(change)}
        self._supervisor = Supervisor(
            chain,
            Care(hang_s, open_timeout_s, max_failures, spare),
            lambda link, hear, first: Worker(link, self._block, {**options, "first": first}, hear),
            self._block,
            self._ledger,
            on_event,
            until,
            change,
            tracked=track is not None,
        )
        overtaken = self._ledger.overtake if policy == "latest" else None
        with enough_memory("to segment live"):
            self._outbox = Outbox(on_result, queue, backlog_bytes, self._supervisor.wake, overtaken)
        self._at_exit = _abort_at_exit(self)
        try:
            if max_frame_bytes is not None:
                self._lay_out(max_frame_bytes, pixels=max_frame_bytes)
                self._reserve()
            with enough_memory("to segment live"):
                self._supervisor.start(self._outbox)
            self._supervisor.opened.result()
        except BaseException:
            self.abort()
            raise

    def submit(self, frame: Frame, metadata: Any = None, pixel_size_um: float | None = None) -> int:
        """Copy a frame into the ring and return its index at once: 0, 1, ... in the order of submission.

        frame : ndarray of shape (H, W), uint8, uint16 or float32. One that is not is an InputError and not counted;
            values that are not finite are found by the worker and come back as a failed result
        metadata : comes back with the result; it never leaves this process
        RingTimeout with policy "block", RingOverflow with policy "stop", EdgescopeError after close.
        """
        check_form(frame)
        check_pixel_size(pixel_size_um)
        self._refuse_fork()
        self._ledger.require_open()
        layout = self._layout_for(frame)
        dtype = f"{frame.dtype.kind}{frame.dtype.itemsize}"  # in this machine's byte order
        ticket = self._ledger.claim(Picture(frame.shape, dtype, metadata, pixel_size_um))
        self._drained = False
        if ticket.slot is not None:
            try:
                np.copyto(self._block.array(layout.slot(ticket.slot), frame.shape, dtype), frame)
            except BaseException:  # Ctrl-C in the middle of it
                self._ledger.withdraw(ticket)
                raise
            self._ledger.commit(ticket)
            self._supervisor.wake()
        if self._unreserved:
            self._reserve_soon()
        return ticket.index

    def results(self) -> Iterator[LiveResult]:
        """Results in order, as they come, until close(), abort() or drain() and nothing is left.

        With a callback or a queue, those that come from this call on. One loop at a time takes them.
        """
        self._refuse_fork()
        return self._outbox.results(self._is_over)

    @property
    def closed(self) -> bool:
        """Whether close() or abort() has ended it."""
        return self._closed

    @property
    def counters(self) -> Counters:
        """A snapshot: seen == done + dropped + failed + pending."""
        return self._ledger.counters

    @property
    def backend(self) -> str:
        """Name of the backend that segments now; it changes with a fallback."""
        return self._supervisor.backend

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker that gets the frames; None between two workers."""
        return self._supervisor.worker_pid

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until every frame is settled and callback and queue have their results; whether that came in time.

        A running loop over results() ends then; frames may be submitted afterwards, and be looped over again.
        """
        self._refuse_fork()
        self._drained = True
        self._outbox.stir()
        return self._settle(timeout)

    def close(self, timeout: float | None = 30.0) -> None:
        """Take no more frames, finish those there are, and end the worker. Calling it again does nothing.

        timeout : seconds, after which the rest is dropped as abort() does
        """
        if self._closed or self._is_forked:
            return
        self._supervisor.refuse_own_thread("close")
        self._ledger.close(_closed())
        self._outbox.lift_limit()
        self._supervisor.wake()
        if not self._settle(timeout):
            log.warning("frames that were not segmented within %s s are dropped", timeout)
            self.abort()
            return
        self._end(discard=False)

    def abort(self) -> None:
        """End the worker at once; frames that are not done are counted as dropped. For close() without patience."""
        if not (self._closed or self._is_forked):
            self._ledger.close(_closed())
            self._end(discard=True)

    def __enter__(self) -> LiveSegmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def _is_forked(self) -> bool:
        """Whether this is a copy of the host, which has the ring too, but none of the threads that look after it."""
        return os.getpid() != self._pid

    def _refuse_fork(self) -> None:
        if self._is_forked:
            msg = f"The live segmenter belongs to process {self._pid}, of which this one is a fork; open another one."
            raise EdgescopeError(msg)

    def _settle(self, timeout: float | None) -> bool:
        start = time.monotonic()
        if not self._ledger.wait_until_settled(timeout):
            return False
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - start))
        return self._outbox.wait_until_handed(left)

    def _end(self, *, discard: bool) -> None:
        self._closed = True
        atexit.unregister(self._at_exit)
        self._supervisor.stop()
        self._ledger.abandon()
        self._outbox.close(discard=discard)
        if self._reserving is not None:
            self._reserving.join()
        self._block.close()

    def _is_over(self) -> bool:
        return (self._closed or self._drained) and self._ledger.counters.pending == 0

    def _layout_for(self, frame: Frame) -> RingLayout:
        """The ring's layout, made for the first frame unless max_frame_bytes was given. InputError for a larger one."""
        with self._layout_lock:
            if self._layout is None:
                self._lay_out(frame.nbytes, frame.size)
                self._unreserved = True
            layout = self._layout
        assert layout is not None
        if frame.nbytes > layout.slot_bytes or self._result_bytes(frame.size) > layout.result_bytes:
            msg = (
                f"A frame of {frame.shape} {frame.dtype} does not fit the ring, which was made for {layout.slot_bytes} "
                f"bytes; open the live segmenter with max_frame_bytes={frame.nbytes}."
            )
            raise InputError(msg)
        return layout

    def _lay_out(self, frame_bytes: int, pixels: int) -> None:
        layout = RingLayout.for_frames(self._slots, frame_bytes, RESULTS, self._result_bytes(pixels))
        self._block.map(layout)
        self._layout = self._supervisor.layout = layout

    def _reserve_soon(self) -> None:
        """In a thread, and only now that the first frame is in: the two would hold each other up."""
        with self._layout_lock:
            if self._unreserved:
                self._unreserved = False
                self._reserving = threading.Thread(target=self._reserve, name="edgescope-live-reserve", daemon=True)
                try:
                    self._reserving.start()
                except RuntimeError:  # no thread could be started: the pages come with the frames
                    self._reserving = None

    def _reserve(self) -> None:
        assert self._layout is not None
        try:
            self._block.reserve(self._layout)
        except EdgescopeError as error:
            self._ledger.close(error)
            if self._reserving is None:
                raise

    def _result_bytes(self, pixels: int) -> int:
        return max(places.size(pixels) for places in self._places)


def _closed() -> EdgescopeError:
    return EdgescopeError("The live segmenter is closed; open another one.")


def _abort_at_exit(live: LiveSegmenter) -> Callable[[], None]:
    reference = weakref.ref(live)

    def abort() -> None:
        forgotten = reference()
        if forgotten is not None:
            forgotten.abort()

    return atexit.register(abort)


def _check_choices(policy: object, late: object) -> None:
    for name, value, known in (("Policy", policy, get_args(Policy)), ("late", late, get_args(Late))):
        if value not in known:
            msg = f"{name} is {value!r}; it must be one of {', '.join(known)}."
            raise InputError(msg)


def _check_until(until: object, track: float | None) -> None:
    if until not in get_args(Until):
        msg = f"until is {until!r}; it must be one of {', '.join(get_args(Until))}."
        raise InputError(msg)
    if track is not None:
        Tracks(track)  # refuses what is no overlap
        if until == "mask":
            msg = "Objects are followed by their labels: give until='labels' or until='objects' with track."
            raise InputError(msg)


def _check_counts(*, slots: int, max_frame_bytes: int | None, max_failures: int, threads: int | None) -> None:
    if slots < FEWEST_SLOTS:
        msg = f"The ring has {slots} slots; it needs at least {FEWEST_SLOTS}."
        raise InputError(msg)
    if max_frame_bytes is not None and max_frame_bytes < 1:
        msg = f"max_frame_bytes is {max_frame_bytes}; it must be at least 1, or None for the first frame's."
        raise InputError(msg)
    if max_failures < 1:
        msg = f"max_failures is {max_failures}; it must be at least 1."
        raise InputError(msg)
    if threads is not None and threads < 1:
        msg = f"Threads is {threads}; it must be at least 1, or left out."
        raise InputError(msg)


def _check_times(*, deadline_ms: float | None, hang_s: float | None, open_timeout_s: float) -> None:
    if deadline_ms is not None and not (math.isfinite(deadline_ms) and deadline_ms > 0):
        msg = f"The deadline is {deadline_ms} ms; it must be over 0, or None."
        raise InputError(msg)
    for name, seconds in (("hang_s", hang_s), ("open_timeout_s", open_timeout_s)):
        if seconds is not None and not seconds > 0:
            msg = f"{name} is {seconds}; it must be over 0 seconds."
            raise InputError(msg)


def _check_limits(block_timeout_s: float, backlog_bytes: int) -> None:
    if not 0 <= block_timeout_s <= threading.TIMEOUT_MAX:
        msg = f"block_timeout_s is {block_timeout_s}; it must be a number of seconds, 0 or more."
        raise InputError(msg)
    if backlog_bytes < 1:
        msg = f"backlog_bytes is {backlog_bytes}; it must be at least 1, or no frame would ever be segmented."
        raise InputError(msg)
