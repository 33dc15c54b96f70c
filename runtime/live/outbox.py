"""Results on their way out, in order: to a callback, to a queue, and to an iterator, in a thread of its own.

A callback that computes holds up neither the camera nor the worker's next frame. What is not taken is kept only up to
a limit of bytes; then no further frame is segmented until the reader catches up. With policy "latest" only the newest
result waits for a reader that is busy: older ones are dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from .result import now_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from .result import LiveResult

log = logging.getLogger(__name__)

PATIENCE_S = 0.1  # between two looks at whether a full queue is still wanted


class Outbox:
    """Hands results over. Without callback and queue they are kept for the iterator, else from its first call on."""

    def __init__(
        self,
        on_result: Callable[[LiveResult], object] | None,
        target: queue.Queue[LiveResult] | None,
        limit_bytes: int,
        on_room: Callable[[], object],
        on_overtaken: Callable[[], object] | None = None,
    ) -> None:
        """on_overtaken : called for each result that a newer one replaces; None keeps them all."""
        self._on_result = on_result
        self._target = target
        self._limit = limit_bytes
        self._on_room = on_room
        self._on_overtaken = on_overtaken
        self._loops = 0  # over results() that have begun
        self._handed = self._looped = -1  # index of the last result for callback and queue, and for the loop
        self._alone = on_result is None and target is None  # the loop is the only reader
        self._iterated = self._alone
        self._changed = threading.Condition()
        self._arrived: deque[LiveResult] = deque()
        self._kept: deque[LiveResult] = deque()  # for the iterator
        self._handing = False
        self._held_bytes = 0
        self._closing = False
        self._discard = False
        self._prepared = 0
        self._thread = threading.Thread(target=self._deliver, name="edgescope-live-delivery", daemon=True)
        self._thread.start()

    def put(self, result: LiveResult) -> None:
        """Hand a result over, soon."""
        with self._changed:
            self._overtake(self._arrived, result)
            self._arrived.append(result)
            self._held_bytes += _bytes(result)
            self._changed.notify_all()

    @contextmanager
    def preparing(self) -> Generator[None]:
        """A result may be put inside: until then, not everything is handed over."""
        with self._changed:
            self._prepared += 1
        try:
            yield
        finally:
            with self._changed:
                self._prepared -= 1
                self._changed.notify_all()

    @property
    def full(self) -> bool:
        """Whether the reader is so far behind that nothing more should be made for it."""
        with self._changed:
            return self._held_bytes >= self._limit

    def lift_limit(self) -> None:
        """Keep whatever comes from now on, because it is the last."""
        with self._changed:
            self._limit = sys.maxsize

    def results(self, ended: Callable[[], bool]) -> Iterator[LiveResult]:
        """Iterate from now on, until nothing is left and `ended()`."""
        with self._changed:
            self._iterated = True
        return self._iterate(ended)

    def stir(self) -> None:
        """Let those who wait look again, because what `ended` asks may have changed."""
        with self._changed:
            self._changed.notify_all()

    def wait_until_handed(self, timeout_s: float | None) -> bool:
        """Wait until callback and queue have everything; what is kept for the iterator counts as handed over.

        From within the callback there is nothing to wait for: what remains follows when it returns."""
        if threading.current_thread() is self._thread:
            return True
        with self._changed:
            return self._changed.wait_for(self._is_handed, timeout_s)

    def close(self, *, discard: bool = False) -> None:
        """Take no more; return when the rest is handed over. discard : drop what callback and queue do not have yet."""
        with self._changed:
            self._closing = True
            self._discard = discard
            if discard:
                self._arrived.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(None if not discard else 2 * PATIENCE_S)

    def _is_handed(self) -> bool:
        return not self._arrived and not self._handing and not self._prepared

    def _overtake(self, waiting: deque[LiveResult], result: LiveResult) -> None:
        """Drop the results that wait where a newer one comes; a lost frame is always reported."""
        if self._on_overtaken is None or result.error is not None:
            return
        for older in [one for one in waiting if one.error is None]:
            waiting.remove(older)
            self._held_bytes -= _bytes(older)
            self._on_overtaken()

    def _iterate(self, ended: Callable[[], bool]) -> Iterator[LiveResult]:
        with self._changed:
            self._loops += 1
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._kept or (self._is_handed() and ended()))
                    if not self._kept:
                        return
                    result = self._kept.popleft()
                    self._held_bytes -= _bytes(result)
                    if self._alone and (dropped := result.index - self._looped - 1) != result.dropped_before:
                        result = replace(result, dropped_before=dropped)
                    self._looped = result.index
                self._on_room()
                yield result
        finally:
            with self._changed:
                self._loops -= 1

    def _deliver(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._arrived or self._closing)
                if not self._arrived:
                    return
                result = self._arrived.popleft()
                result = replace(result, delivered_ns=now_ns(), dropped_before=result.index - self._handed - 1)
                self._handed = result.index
                self._handing = True
                keep = self._iterated
                if keep:
                    if self._loops and self._alone:
                        self._overtake(self._kept, result)
                    self._kept.append(result)
                self._changed.notify_all()
            self._hand(result)
            with self._changed:
                self._handing = False
                if not keep:
                    self._held_bytes -= _bytes(result)
                self._changed.notify_all()
            self._on_room()

    def _hand(self, result: LiveResult) -> None:
        if self._on_result is not None:
            try:
                self._on_result(result)
            except BaseException:  # also SystemExit: this thread has to go on, or no result would come any more
                log.exception("on_result failed for frame %d", result.index)
        while self._target is not None:
            try:
                self._target.put(result, timeout=PATIENCE_S)
            except queue.Full:
                if self._discard:
                    log.warning("the queue is full: result %d and later ones were not delivered", result.index)
                    return
            except BaseException:  # a queue that was shut down, or of the host's own making
                log.exception("the queue did not take result %d", result.index)
                return
            else:
                return


def _bytes(result: LiveResult) -> int:
    return 0 if result.segmentation is None else result.segmentation.nbytes
