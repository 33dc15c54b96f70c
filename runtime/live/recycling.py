"""Memory of results that nobody holds any more, used again for the next ones.

A result of a 2048x2048 frame has 48 MB. Fresh memory of that size comes from the system page by page, while the frame
waits: 12,000 pages take 10 ms, and half a second where a virtual machine has to ask its host for them.
"""

from __future__ import annotations

import mmap
import sys
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

LEAST_BYTES = 1 << 20  # smaller arrays are had quickly
PIECE_BYTES = 1 << 20  # touched or copied at once, in a few tenths of a millisecond
PAUSE_S = 5e-5  # between two pieces: long enough for another thread to be let in
MOST_FREE = 4  # pieces of memory that wait for the next result: two results of maps and labels


class RecycledMemory:
    """Gives arrays whose memory comes back when the array and all views of it are gone.

    Safe in several threads, and where Python frees an array in the middle of a call: a deque needs no lock.
    """

    def __init__(self) -> None:
        self._free: deque[mmap.mmap] = deque()
        self._is_closed = False

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """As numpy.empty. OSError or MemoryError where there is no memory."""
        count = int(np.prod(shape))
        size = count * np.dtype(dtype).itemsize
        if size < LEAST_BYTES:
            return np.empty(shape, dtype)
        memory = self._take(size)
        owner: NDArray[Any] = np.frombuffer(memory, dtype, count)  # which every view refers to
        weakref.finalize(owner, self._give_back, memory).atexit = False
        whole: NDArray[Any] = np.reshape(owner, shape)
        return whole

    def prepare(self, sizes: Sequence[int]) -> None:
        """Have memory of these sizes, in bytes, wait for the first results; where there is none, these will say so."""
        for size in sizes:
            if size < LEAST_BYTES:
                continue
            with suppress(OSError, MemoryError):
                memory = _fresh(size)
                pages = np.frombuffer(memory, np.uint8)[:: mmap.PAGESIZE]
                step = PIECE_BYTES // mmap.PAGESIZE
                for start in range(0, len(pages), step):
                    pages[start : start + step] = 0
                    time.sleep(PAUSE_S)
                self._give_back(memory)

    def close(self) -> None:
        """Free what waits, and what comes back from here on."""
        self._is_closed = True
        self._free.clear()

    def _take(self, size: int) -> mmap.mmap:
        for _ in range(len(self._free)):
            with suppress(IndexError):  # another thread took it
                memory = self._free.popleft()
                if len(memory) == size:
                    return memory
                self._free.append(memory)
        return _fresh(size)

    def _give_back(self, memory: mmap.mmap) -> None:
        if self._is_closed:
            return
        self._free.append(memory)
        while len(self._free) > MOST_FREE:
            with suppress(IndexError):
                self._free.popleft()


def _fresh(size: int) -> mmap.mmap:
    """Memory of this process alone: by default Python's would be shared with what it forks."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
