"""The host's thread that keeps frames moving: gives them to the worker, watches it, and replaces it.

One frame is with the worker at any time. When the worker dies, hangs or fails, the frame that it had begun is lost and
told of, and the spare worker, which has its model open already, takes over. After `max_failures` in a row the next link
of the chain does. Everything that happens comes through one queue, so that nothing here needs a lock.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from ..errors import EdgescopeError, InputError
from ..frames.scale import SEEN, Scale
from ..objects.measure import TABLE
from ..objects.rule import UNCHANGED
from ..system import scheduling
from .process import Answer, Refusal
from .result import LiveEvent, LiveResult, LiveSegmentation, ResultLayout, now_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..frames.scale import Source
    from ..objects.rule import RuleChange
    from .chain import Link
    from .ledger import Ledger, Ticket
    from .memory import RingLayout, SharedBlock
    from .outbox import Outbox
    from .process import Message, Worker
    from .result import Kind, Until

log = logging.getLogger(__name__)

RESULTS = 2  # slots for results: the worker fills one while the other is copied
LOOK_S = 0.2  # how often a busy worker is looked at
OPEN_AGAIN_S = 30.0  # least time to open a model that was opened before, which says how long it takes
STOP_S = 20.0  # for the thread to end its workers; a host's on_event may never return


# Starts a worker for a link; what it says goes to the second argument; the third is whether it is the very first.
Hire: TypeAlias = "Callable[[Link, Callable[[Worker, Message | None], None], bool], Worker]"


@dataclass(frozen=True)
class Care:
    """How the worker is looked after. Seconds, but for max_failures (in a row) and spare (a second, open worker)."""

    hang_s: float
    open_s: float
    max_failures: int
    spare: bool


@dataclass(frozen=True)
class Picture:
    """What the ledger keeps for the host about a frame."""

    shape: tuple[int, ...]
    dtype: str  # as numpy writes it, in the machine's byte order
    metadata: Any
    pixel_size_um: float | None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What frames of one scale have alike: another binning shows in the shape where no pixel size is known."""
        return self.shape, self.pixel_size_um


class Supervisor:
    """See the module. `opened` is done when the first worker is ready, or says why none could be."""

    def __init__(
        self,
        chain: Sequence[Link],
        care: Care,
        hire: Hire,
        block: SharedBlock,
        ledger: Ledger,
        on_event: Callable[[LiveEvent], object] | None,
        until: Until = "mask",
        change: RuleChange = UNCHANGED,
        *,
        tracked: bool = False,
    ) -> None:
        self.opened: Future[None] = Future()
        self._prepared = 0  # pixels of the frames for whose results there is memory
        self.layout: RingLayout | None = None  # set before the first frame is committed
        self.gave_up: str | None = None
        self._chain = list(chain)
        self._care = care
        self._hire = hire
        self._block = block
        self._ledger = ledger
        self._on_event = on_event
        self._until: Until = until
        self._change = change
        self._tracked = tracked
        self._last_id = 0  # of the tracks, which a new worker goes on from
        self._events: queue.SimpleQueue[tuple[Worker, Message | None] | None] = queue.SimpleQueue()
        self._worker: Worker | None = None
        self._spare: Worker | None = None
        self._spare_failures = 0  # since it was asked for; after max_failures there is none
        self._took_s: dict[str, float] = {}  # to open a model, by backend
        self._taken: Ticket | None = None
        self._returned: Ticket | None = None  # given to a worker that died before it began with it
        self._turn = 0
        self._scales: dict[Any, tuple[Any, ...]] = {}  # by Picture.kind: the scale that was seen first
        self._failures = 0
        self._reasons: list[str] = []
        self._beat = (0, 0)  # the heartbeat as last seen, and when it was seen to change
        self._waits: scheduling.Waits | None = None  # of the worker's threads, when it had been silent for a while
        self._beat_before = 0  # the heartbeat when the frame was given to the worker
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgescope-live-supervisor", daemon=True)

    def start(self, outbox: Outbox) -> None:
        """Start the first worker."""
        self._outbox = outbox
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do: a frame was committed, or there is room for results."""
        self._events.put(None)

    def stop(self) -> None:
        """End the workers; returns when they are gone."""
        self._stopping.set()
        self.wake()
        if self._thread.ident is None or threading.current_thread() is self._thread:
            return
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            log.error("the supervisor of the live segmenter does not end after %g s: does on_event return?", STOP_S)
            for worker in (self._worker, self._spare):
                if worker is not None:
                    worker.kill("the live segmenter was closed")

    def refuse_own_thread(self, what: str) -> None:
        """EdgescopeError in on_event, from where nothing can be waited for."""
        if threading.current_thread() is self._thread:
            msg = f"on_event cannot {what}() the live segmenter, which would wait for itself; it can abort() it."
            raise EdgescopeError(msg)

    @property
    def backend(self) -> str:
        """Name of the backend whose turn it is."""
        return self._chain[0].backend

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker that gets the frames; None between two workers."""
        worker = self._worker
        return None if worker is None else worker.pid

    # The flow: one event after the other.

    def _run(self) -> None:
        """An error of ours ends the workers, and frames come back with it. A second one ends this thread."""
        try:
            try:
                self._replace_worker(first=True)
                self._go_on()
            except Exception as error:
                log.exception("the supervisor of the live segmenter failed")
                self._dismiss()
                self._give_up(f"the supervisor failed: {error!r}")
                self._go_on()
        except BaseException:
            log.exception("the supervisor of the live segmenter failed again, and ends")
        finally:
            self._leave()

    def _go_on(self) -> None:
        while not self._stopping.is_set():
            self._next_event()
            self._watch()
            self._give()
            if self._taken is None:
                self._outbox.stir()

    def _leave(self) -> None:
        """Nobody may wait for this thread any more, whatever has ended it."""
        reason = EdgescopeError("The live segmenter has ended; open another one.")
        try:
            self._dismiss()
        finally:
            if not self.opened.done():
                self.opened.set_exception(reason)
            self._ledger.close(reason)
            self._ledger.abandon()
            self._outbox.stir()

    def _next_event(self) -> None:
        opening = any(worker is not None and not worker.ready for worker in (self._worker, self._spare))
        watched = self._taken is not None or opening
        try:
            event = self._events.get(timeout=LOOK_S if watched else None)
        except queue.Empty:
            return
        if event is not None:
            self._hear(*event)

    def _hear(self, worker: Worker, message: Message | None) -> None:
        if worker is not self._worker and worker is not self._spare:
            return  # one that was replaced
        try:
            if message is None:
                self._ended(worker)
            elif "ready" in message:
                self._ready(worker)
            elif "refused" in message:
                self._refused(worker, Refusal.from_dict(message))
            else:
                self._answered(self._read(message))
        except InputError as error:  # its end, which is heard next, is a failure like any other
            worker.kill(f"the worker sent what is no answer: {error}")

    def _read(self, message: Message) -> Answer:
        """InputError for an answer that cannot be one; nothing is changed before it is known to be one."""
        answer = Answer.from_dict(message)
        if (ticket := self._taken) is not None and answer.index == ticket.index:
            places = ResultLayout.of(self._until, self._chain[0].manifest)
            pixels = ticket.frame.shape[0] * ticket.frame.shape[1]
            most = None if self._until == "mask" else places.most_objects(pixels)
            answer.check(most, tracked=self._tracked)
        return answer

    def _give(self) -> None:
        """Give the worker the next frame, if it is free and there is one; with no worker left, give them back."""
        if self.gave_up is not None:
            while (ticket := self._next_ticket()) is not None:
                self._taken = ticket
                self._lose(f"no backend is left: {self.gave_up}")
            return
        worker = self._worker
        if self._taken is not None or worker is None or not worker.ready or self._outbox.full:
            return
        if (ticket := self._next_ticket()) is None:
            return
        assert self.layout is not None
        self._taken = ticket
        self._turn = (self._turn + 1) % RESULTS
        self._beat_before = self._heartbeat()
        self._beat, self._waits = (self._beat_before, now_ns()), None
        picture: Picture = ticket.frame
        worker.say(
            {
                "index": ticket.index,
                "slot": ticket.slot,
                "out": self._turn,
                "shape": picture.shape,
                "dtype": picture.dtype,
                "pixel_size_um": picture.pixel_size_um,
                "scale": self._scales.get(picture.kind),
                "last_id": self._last_id,
                "layout": self.layout.to_dict(),
            }
        )
        if picture.shape[0] * picture.shape[1] != self._prepared:  # while the worker computes
            self._prepared = picture.shape[0] * picture.shape[1]
            maps, labels = len(worker.link.manifest.channels) * self._prepared * 4, self._prepared * 4
            self._block.prepare_copies([maps] if self._until == "mask" else [maps, labels])

    def _next_ticket(self) -> Ticket | None:
        ticket, self._returned = self._returned, None
        return ticket or self._ledger.take()

    def _answered(self, answer: Answer) -> None:
        ticket = self._taken
        if ticket is None or answer.index != ticket.index:
            return
        if answer.error is not None:
            self._lose(answer.error, answer)
            if not answer.input:  # the frame is not to blame
                self._failed(answer.error, worker_is_gone=False)
            return
        self._failures = 0
        self._taken = None
        self._turn_over(ticket, answer)
        if self._spare_failures:
            self._start_spare()

    def _turn_over(self, ticket: Ticket, answer: Answer) -> None:
        """Let the worker begin the next frame before this one's result is copied out of its slot."""
        turn, link = self._turn, self._chain[0]
        if answer.scale[2] == SEEN:
            self._scales.setdefault(ticket.frame.kind, answer.scale)
        with self._outbox.preparing():
            deliver = self._ledger.finish(answer.finished)
            try:
                self._give()
            finally:
                if deliver:
                    self._outbox.put(self._copied(ticket, turn, link, answer))

    def _copied(self, ticket: Ticket, turn: int, link: Link, answer: Answer) -> LiveResult:
        try:
            found = self._segmentation(ticket.frame, turn, link, answer)
        except Exception as error:  # no memory for the copy, for one: the frame is lost, the next one may do
            log.exception("the result of frame %d could not be copied", ticket.index)
            self._ledger.spoil()
            reason = f"the result could not be copied: {error!r}"
            return self._result(ticket, link.backend, answer, None, error=reason)
        return self._result(ticket, link.backend, answer, found)

    def _segmentation(self, picture: Picture, turn: int, link: Link, answer: Answer) -> LiveSegmentation:
        assert self.layout is not None
        scale = Scale(answer.scale[0], answer.scale[1], cast("Source", answer.scale[2]))
        channels, start = link.manifest.channels, self.layout.result(turn)
        copy, pixels, count = self._block.copy_out, picture.shape[0] * picture.shape[1], answer.count or 0
        places = ResultLayout.of(self._until, link.manifest, self._change)
        maps = copy(start, (len(channels), *picture.shape), np.float32)
        has_labels, has_ids = answer.count is not None, answer.last_id is not None
        self._last_id = answer.last_id or self._last_id
        return LiveSegmentation(
            probability=maps[channels.index("foreground")],
            core=maps[channels.index("core")] if "core" in channels else None,
            threshold=self._change.cut(link.manifest.threshold),
            rule=self._change.scaled(link.manifest.objects, scale.factor),
            pixel_size_um=picture.pixel_size_um,
            frame_flags=answer.flags,
            scale=scale,
            object_diameter=link.manifest.object_diameter,
            finds_cells=link.manifest.finds_cells,
            labelled=(copy(start + places.labels(pixels), picture.shape, np.int32), count) if has_labels else None,
            measured=copy(start + places.table(pixels), (count,), TABLE) if self._until == "objects" else None,
            ids=copy(start + places.ids(pixels), (count,), np.int64) if has_ids else None,
        )

    # What goes wrong.

    def _watch(self) -> None:
        for worker in (self._worker, self._spare):
            if worker is not None:
                self._watch_life(worker)
        worker, now = self._worker, now_ns()
        if worker is not None and worker.ready and self._taken is not None:
            beat = self._heartbeat()
            if beat != self._beat[0]:
                self._beat, self._waits = (beat, now), None
            elif self._is_hung(worker, (now - self._beat[1]) / 1e9):
                worker.kill(f"the worker hung: no tile was finished for {self._care.hang_s:g} s")

    def _is_hung(self, worker: Worker, silent_s: float) -> bool:
        """Whether it finished no tile for hang_s. From half of it on, time without a processor does not count.

        A worker has the lowest priority, for the acquisition has the first: on a busy machine it may wait for long.
        """
        if silent_s <= self._care.hang_s / 2:
            return False
        now = scheduling.waits(worker.pid)
        if self._waits is None:
            self._waits = now
        return silent_s - scheduling.longest_wait_s(now, self._waits) > self._care.hang_s

    def _watch_life(self, worker: Worker) -> None:
        """Both workers: an end that was not heard, and one that does not open its model."""
        if worker.is_gone:
            self._ended(worker)
            return
        before_s = self._took_s.get(worker.link.backend)
        limit_s = self._care.open_s
        if before_s is not None:
            limit_s = min(limit_s, max(OPEN_AGAIN_S, 10 * before_s))
        took_s = (now_ns() - worker.started_ns) / 1e9
        if not worker.ready and took_s > limit_s + scheduling.longest_wait_s(scheduling.waits(worker.pid)):
            worker.kill(f"{worker.link.backend} was not open after {limit_s:g} s")

    def _ready(self, worker: Worker) -> None:
        worker.ready = True
        backend, took_s = worker.link.backend, (now_ns() - worker.started_ns) / 1e9
        self._took_s[backend] = max(took_s, self._took_s.get(backend, 0.0))
        if not self.opened.done():
            self.opened.set_result(None)
        if worker is self._worker:
            self._start_spare()

    def _refused(self, worker: Worker, refusal: Refusal) -> None:
        """The worker could not open its link, and says why. It ends by itself."""
        worker.stop()
        if worker is self._spare:
            log.warning("the spare worker could not open %s: %s", worker.link.backend, refusal.refused)
            self._spare = None
            self._spare_failures += 1
            return
        self._worker = None
        hopeless = refusal.input or not self.opened.done()
        self._failed(refusal.refused, worker_is_gone=True, hopeless=hopeless)

    def _ended(self, worker: Worker) -> None:
        reason = worker.describe_end()
        worker.stop()
        if worker is self._spare:
            log.warning("the spare worker ended: %s", reason)
            self._spare = None
            self._spare_failures += 1  # another one is started after the next frame
            return
        self._worker = None
        if self._taken is not None:
            if self._heartbeat() == self._beat_before:
                self._returned, self._taken = self._taken, None
            else:
                self._lose(reason)
        self._failed(reason, worker_is_gone=True)

    def _failed(self, reason: str, *, worker_is_gone: bool, hopeless: bool = False) -> None:
        """Count a failure; replace the worker, by one of the next link after too many in a row."""
        self._failures += 1
        self._reasons.append(f"{self.backend}: {reason}")
        if hopeless or self._failures >= self._care.max_failures:
            self._next_link(reason)
        elif worker_is_gone:
            self._tell("restart", f"{reason}; starting another worker with {self.backend}")
            self._replace_worker()

    def _next_link(self, reason: str) -> None:
        """Fall back to the next link of the chain, or give up where there is none."""
        failed, count = self.backend, self._failures
        self._dismiss()
        if len(self._chain) == 1:
            self._give_up(reason)
            return
        self._chain.pop(0)
        self._failures = 0
        self._tell("fallback", f"{failed} failed {count} time(s) in a row ({reason}); {self.backend} takes over")
        self._replace_worker()

    def _give_up(self, reason: str) -> None:
        self.gave_up = reason
        if not self.opened.done():
            self.opened.set_exception(EdgescopeError("; ".join(dict.fromkeys(self._reasons)) or reason))
            return
        self._tell("gave_up", f"{reason}; no backend is left, and frames come back with this error")
        if self._taken is not None and not self._stopping.is_set():
            self._lose(reason)

    def _dismiss(self) -> None:
        """End both workers; one that has a frame is not waited for."""
        for worker in (self._worker, self._spare):
            if worker is not None:
                if worker is self._worker and self._taken is not None:
                    worker.kill("it was dismissed")
                worker.stop()
        self._worker = self._spare = None

    def _replace_worker(self, *, first: bool = False) -> None:
        self._worker, self._spare = self._spare or self._start(), None
        self._spare_failures = 0
        if not first:
            self._ledger.count_restart()
        if self._worker is not None and self._worker.ready:
            self._start_spare()

    def _start_spare(self) -> None:
        if self._care.spare and self._spare is None and self._spare_failures < self._care.max_failures:
            self._spare = self._start()

    def _start(self) -> Worker | None:
        try:
            return self._hire(self._chain[0], self._overhear, not self.opened.done())
        except Exception as error:  # of the system, which has no process or thread left, or of what was asked for
            log.exception("no worker could be started")
            self._give_up(f"no worker could be started: {error}")
            return None

    def _overhear(self, worker: Worker, message: Message | None) -> None:
        """What a worker says, put to the other events. Called in the worker's thread."""
        self._events.put((worker, message))

    def _lose(self, reason: str, answer: Answer | None = None) -> None:
        ticket, self._taken = self._taken, None
        assert ticket is not None
        times = answer or Answer(ticket.index, None, now_ns())
        with self._outbox.preparing():
            self._ledger.fail()
            self._outbox.put(self._result(ticket, self.backend, times, None, error=reason))

    def _result(
        self,
        ticket: Ticket,
        backend: str,
        times: Answer,
        found: LiveSegmentation | None,
        *,
        error: str | None = None,
    ) -> LiveResult:
        return LiveResult(
            index=ticket.index,
            metadata=ticket.frame.metadata,
            segmentation=found,
            submitted_ns=ticket.submitted_ns,
            started_ns=times.started,
            finished_ns=times.finished,
            delivered_ns=times.finished,
            late=ticket.is_late(times.finished),
            flags=() if found is None else found.flags,
            error=error,
            backend=backend,
        )

    def _heartbeat(self) -> int:
        return int(self._block.array(0, (1,), np.int64)[0])

    def _tell(self, kind: Kind, message: str) -> None:
        log.warning("%s", message)
        if self._on_event is not None:
            try:
                self._on_event(LiveEvent(kind, message, self.backend))
            except BaseException:  # also SystemExit: without this thread no frame would be segmented any more
                log.exception("on_event failed")
