"""Memory that the host and its workers share, without a name that could be left behind.

On Linux it is an anonymous file (memfd), elsewhere on POSIX an unlinked temporary file: workers inherit the handle,
and the system frees the memory with the last process that holds it, however that one ended. Windows does the same with
a tagged mapping. `multiprocessing.shared_memory` is not used: its names outlive a killed host, and before Python 3.13
its resource tracker unlinks what another process still uses.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EdgescopeError
from ..records import Record
from .recycling import PAUSE_S, PIECE_BYTES, RecycledMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

PAGE = 4096  # slots begin at multiples of it
HEADER = PAGE  # holds the heartbeat, a count of tiles


@dataclass(frozen=True)
class RingLayout(Record):
    """Header, then slots for frames, then slots for results; all sizes in bytes."""

    slots: int
    slot_bytes: int
    results: int
    result_bytes: int

    @classmethod
    def for_frames(cls, slots: int, frame_bytes: int, results: int, result_bytes: int) -> RingLayout:
        """Round the sizes up to whole pages."""
        return cls(slots, -(-frame_bytes // PAGE) * PAGE, results, -(-result_bytes // PAGE) * PAGE)

    @property
    def ring_bytes(self) -> int:
        """Header and slots for frames: what is reserved at once."""
        return HEADER + self.slots * self.slot_bytes

    @property
    def total_bytes(self) -> int:
        """Everything. Results that are never written cost address space, but no memory."""
        return self.ring_bytes + self.results * self.result_bytes

    def slot(self, number: int) -> int:
        """Where a frame's slot begins."""
        return HEADER + number * self.slot_bytes

    def result(self, number: int) -> int:
        """Where a result's slot begins."""
        return self.ring_bytes + number * self.result_bytes


class SharedBlock:
    """A block of shared memory that is created empty, handed to workers, and mapped once its layout is known.

    handle : what a worker opens it with: a file descriptor that it inherits, or on Windows a tag
    """

    def __init__(self, handle: int | str, *, owner: bool) -> None:
        self.handle = handle
        self._owner = owner
        self._map: mmap.mmap | None = None
        self._copies = RecycledMemory()

    @classmethod
    def create(cls) -> SharedBlock:
        """A new, empty block."""
        if sys.platform == "win32":
            return cls(f"edgescope-{os.getpid()}-{os.urandom(8).hex()}", owner=True)
        if sys.platform == "linux":
            return cls(os.memfd_create("edgescope-live"), owner=True)
        with tempfile.TemporaryFile(prefix="edgescope-live-") as file:
            return cls(os.dup(file.fileno()), owner=True)

    @property
    def inherited(self) -> tuple[int, ...]:
        """The file descriptors that a worker must inherit."""
        return (self.handle,) if isinstance(self.handle, int) else ()

    def map(self, layout: RingLayout) -> None:
        """Size it, on the host's side, and map it. EdgescopeError when there is not that much address space."""
        try:
            if isinstance(self.handle, int):
                if self._owner:
                    os.ftruncate(self.handle, layout.total_bytes)
                self._map = mmap.mmap(self.handle, layout.total_bytes)
            else:
                self._map = _tagged(self.handle, layout.total_bytes)
        except (OSError, ValueError, OverflowError) as error:
            raise _no_memory(layout.total_bytes) from error

    def reserve(self, layout: RingLayout) -> None:
        """Let the system set the memory of all frames' slots aside, so that submit never waits for it.

        EdgescopeError when there is not enough: better now than as a bus error in mid-acquisition."""
        if isinstance(self.handle, int) and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self.handle, 0, layout.ring_bytes)
            except OSError as error:
                raise _no_memory(layout.ring_bytes) from error
        self.array(0, (layout.ring_bytes,), np.uint8)[::PAGE].max()  # this process's pages, before submit needs them

    def array(self, offset: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A view of the block; it keeps the mapping alive."""
        if self._map is None:
            msg = "The shared memory is not mapped."
            raise EdgescopeError(msg)
        count = int(np.prod(shape))
        flat: NDArray[Any] = np.frombuffer(self._map, dtype, count, offset)
        return np.reshape(flat, shape)

    def prepare_copies(self, sizes: Sequence[int]) -> None:
        """Have memory ready for two results whose arrays have these sizes in bytes: one is read, the next one comes."""
        self._copies.prepare([*sizes, *sizes])

    def copy_out(self, offset: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A copy of a part of the block, made piece by piece.

        A thread that copies tens of megabytes in one go is given whole ticks of the scheduler, 4 ms each, also where
        the thread that takes frames from the camera waits for the same processor.
        """
        source = self.array(offset, (int(np.prod(shape)),), dtype)
        copy = self._copies.empty(source.shape, source.dtype)
        step = PIECE_BYTES // source.itemsize
        for start in range(0, source.size, step):
            if start:
                time.sleep(PAUSE_S)
            copy[start : start + step] = source[start : start + step]
        whole: NDArray[Any] = np.reshape(copy, shape)
        return whole

    @property
    def mapped(self) -> bool:
        """Whether its layout is known."""
        return self._map is not None

    def close(self) -> None:
        """Let go of it. The memory is free when no process and no view holds it any more."""
        self._map = None
        self._copies.close()
        if isinstance(self.handle, int) and self._owner:
            os.close(self.handle)
            self._owner = False


def _tagged(tag: str, size: int) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, size, tagname=tag)
    msg = f"Only Windows has shared memory by tag, not {sys.platform}."
    raise EdgescopeError(msg)


def _no_memory(size: int) -> EdgescopeError:
    return EdgescopeError(f"There is no memory for a ring of {size / 1e6:.0f} MB; give fewer slots or smaller frames.")
