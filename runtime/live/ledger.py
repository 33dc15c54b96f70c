"""Which frame goes next, which is dropped, and the books about it: policies and counters, and nothing else.

The ledger never touches a pixel, a process or a pipe, so that every order of events can be tried in a test. A frame is
claimed (a slot of the ring is its own), committed (it waits), taken (it is being segmented) and settled.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import EdgescopeError
from .result import Counters, RingOverflow, RingTimeout, now_ns

if TYPE_CHECKING:
    from collections.abc import Callable

Policy: TypeAlias = Literal["latest", "block", "stop"]
Late: TypeAlias = Literal["deliver", "skip"]


@dataclass(frozen=True, eq=False)
class Ticket:
    """A frame's place in the ring, and what the host keeps about it."""

    index: int
    slot: int | None  # None: policy "latest" found no slot to copy it to, and it is dropped already
    submitted_ns: int
    deadline_ns: int | None
    frame: Any  # what the caller needs to know of it: shape, dtype, metadata

    def is_late(self, at_ns: int) -> bool:
        """Whether its deadline has passed."""
        return self.deadline_ns is not None and at_ns > self.deadline_ns


class Ledger:
    """The books of one live segmenter. Every method may be called from any thread, and only claim() may wait."""

    def __init__(
        self,
        policy: Policy,
        slots: int,
        *,
        late: Late = "deliver",
        deadline_ms: float | None = None,
        block_timeout_s: float = 5.0,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self._policy: Policy = policy
        self._late: Late = late
        self._deadline_ns = None if deadline_ms is None else round(deadline_ms * 1e6)
        self._block_timeout_s = block_timeout_s
        self._clock = clock
        self._changed = threading.Condition()
        self._free = list(range(slots))
        self._filling: list[int] = []  # indices, ascending
        self._waiting: deque[Ticket] = deque()  # by index, ascending
        self._taken: Ticket | None = None
        self._closed: EdgescopeError | None = None
        self._abandoned = False
        self._done = self._dropped = self._failed = self._late_count = self._restarts = self._seen = 0

    def claim(self, frame: Any = None) -> Ticket:
        """Take a frame in and give it a slot to be copied to.

        "latest" never waits: where no slot is free, the oldest waiting frame gives its own, and where none waits,
        because other threads are copying, the new frame is dropped.
        RingTimeout (policy "block") and RingOverflow (policy "stop") when the ring is full: the frame is not taken.
        """
        submitted = self._clock()
        with self._changed:
            self._refuse_if_closed()
            if not self._free:
                self._make_room()
            slot = self._free.pop() if self._free else None
            deadline = None if self._deadline_ns is None else submitted + self._deadline_ns
            ticket = Ticket(self._seen, slot, submitted, deadline, frame)
            self._seen += 1
            if slot is None:
                self._drop(ticket)
            else:
                self._filling.append(ticket.index)
            return ticket

    def require_open(self) -> None:
        """Raise what close() was told, if it was called."""
        with self._changed:
            self._refuse_if_closed()

    def commit(self, ticket: Ticket) -> None:
        """The frame lies in its slot and may be taken. Under "latest" it replaces what is still waiting."""
        with self._changed:
            self._filling.remove(ticket.index)
            if self._abandoned:
                self._drop(ticket)
                return
            insort(self._waiting, ticket, key=lambda waiting: waiting.index)
            if self._policy == "latest":
                while len(self._waiting) > 1:
                    self._drop(self._waiting.popleft())
            self._changed.notify_all()

    def withdraw(self, ticket: Ticket) -> None:
        """The frame could not be copied: it counts as dropped."""
        with self._changed:
            self._filling.remove(ticket.index)
            self._drop(ticket)

    def take(self) -> Ticket | None:
        """The next frame to segment, in the order of submission; None when there is none, or one is being segmented.

        With late="skip", frames past their deadline are dropped on the way.
        """
        with self._changed:
            if self._taken is not None:
                return None
            while self._waiting and not (self._filling and self._filling[0] < self._waiting[0].index):
                ticket = self._waiting.popleft()
                if self._late == "skip" and ticket.is_late(self._clock()):
                    self._late_count += 1
                    self._drop(ticket)
                    continue
                self._taken = ticket
                return ticket
            return None

    def finish(self, finished_ns: int) -> bool:
        """The taken frame is segmented. Returns whether to deliver it: not when it is late and late="skip"."""
        with self._changed:
            ticket = self._release()
            late = ticket.is_late(finished_ns)
            self._late_count += late
            if late and self._late == "skip":
                self._drop(ticket, slot_is_free=True)
                return False
            self._done += 1
            return True

    def fail(self) -> None:
        """The taken frame is lost, and its loss is going to be told."""
        with self._changed:
            self._release()
            self._failed += 1

    def spoil(self) -> None:
        """A frame that was segmented is lost on the way, and its loss is going to be told."""
        with self._changed:
            self._done -= 1
            self._failed += 1

    def overtake(self) -> None:
        """A result that waited to be handed over was replaced by a newer one: its frame counts as dropped."""
        with self._changed:
            self._done -= 1
            self._dropped += 1

    def abandon(self) -> None:
        """Drop the frames that wait or are being segmented, and those that are still being copied."""
        with self._changed:
            self._abandoned = True
            if self._taken is not None:
                self._drop(self._release(), slot_is_free=True)
            while self._waiting:
                self._drop(self._waiting.popleft())

    def close(self, reason: EdgescopeError) -> None:
        """Take no more frames: claim() raises the reason, also where it is waiting now."""
        with self._changed:
            self._closed = self._closed or reason
            self._changed.notify_all()

    def wait_until_settled(self, timeout_s: float | None) -> bool:
        """Wait until nothing is pending; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout_s)

    def count_restart(self) -> None:
        """A worker was started in place of one that is gone."""
        with self._changed:
            self._restarts += 1

    @property
    def counters(self) -> Counters:
        """A snapshot, taken in one piece."""
        with self._changed:
            return Counters(
                self._seen, self._done, self._dropped, self._failed, self._pending, self._late_count, self._restarts
            )

    @property
    def _pending(self) -> int:
        return len(self._filling) + len(self._waiting) + (self._taken is not None)

    def _make_room(self) -> None:
        if self._policy == "latest":
            if self._waiting:
                self._drop(self._waiting.popleft())
        elif self._policy == "stop":
            msg = (
                f"The ring was full when frame {self._seen} came: the student is slower than the camera. "
                'The acquisition is over; use fewer frames a second, more slots, or policy "latest".'
            )
            self._closed = RingOverflow(msg)
            raise self._closed
        elif not self._changed.wait_for(lambda: self._free or self._closed, self._block_timeout_s):
            msg = (
                f"The ring was full for {self._block_timeout_s:g} s, and frame {self._seen} was not taken; submit it "
                "again, use fewer frames a second, or a longer block_timeout_s."
            )
            raise RingTimeout(msg)
        self._refuse_if_closed()

    def _refuse_if_closed(self) -> None:
        if self._closed is not None:
            raise type(self._closed)(str(self._closed))  # a fresh one: a raised error keeps its traceback

    def _release(self) -> Ticket:
        ticket, self._taken = self._taken, None
        if ticket is None:
            msg = "No frame is being segmented."
            raise EdgescopeError(msg)
        self._give_back(ticket.slot)
        return ticket

    def _drop(self, ticket: Ticket, *, slot_is_free: bool = False) -> None:
        self._dropped += 1
        if not slot_is_free:
            self._give_back(ticket.slot)

    def _give_back(self, slot: int | None) -> None:
        if slot is not None:
            self._free.append(slot)
            self._changed.notify_all()
