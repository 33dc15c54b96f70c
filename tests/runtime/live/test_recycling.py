"""Memory of results comes back when nobody holds it any more, and not before."""

from __future__ import annotations

import gc
import threading

import numpy as np

from runtime.live.recycling import LEAST_BYTES, MOST_FREE, RecycledMemory

SHAPE = (2, LEAST_BYTES // 8)  # of float32: LEAST_BYTES


def test_what_is_held_by_a_view_is_not_used_again():
    memory = RecycledMemory()
    array = memory.empty(SHAPE, np.float32)
    array[:] = 7
    address, row = array.ctypes.data, array[1, 3:]
    del array
    other = memory.empty(SHAPE, np.float32)
    other[:] = 1
    assert other.ctypes.data != address
    assert np.all(row == 7)
    del row
    assert memory.empty(SHAPE, np.float32).ctypes.data == address


def test_only_memory_of_the_same_size_is_used_again():
    memory = RecycledMemory()
    address = memory.empty(SHAPE, np.float32).ctypes.data
    larger = memory.empty((3, *SHAPE), np.float32)
    assert larger.nbytes == 3 * LEAST_BYTES
    same = memory.empty(SHAPE, np.int32)
    assert same.ctypes.data == address
    assert same.dtype == np.int32


def test_no_more_waits_than_the_next_results_need():
    memory = RecycledMemory()
    held = [memory.empty(SHAPE, np.float32) for _ in range(3 * MOST_FREE)]
    assert len({array.ctypes.data for array in held}) == 3 * MOST_FREE
    held.clear()
    assert len(memory._free) == MOST_FREE


def test_what_is_small_comes_from_numpy():
    memory = RecycledMemory()
    assert memory.empty((4, 5), np.float64).shape == (4, 5)  # and is gone
    assert not memory._free


def test_after_the_end_nothing_waits_and_results_stay():
    memory = RecycledMemory()
    kept, free = memory.empty(SHAPE, np.float32), memory.empty(SHAPE, np.float32)
    kept[:] = 3
    del free
    memory.close()
    assert not memory._free
    assert np.all(kept == 3)
    del kept
    assert not memory._free


def test_threads_never_share_memory():
    memory, wrong = RecycledMemory(), []

    def use(number: int) -> None:
        for _ in range(40):
            array = memory.empty(SHAPE, np.float32)
            array[0, ::4096] = number
            if not np.all(array[0, ::4096] == number):
                wrong.append(number)
            del array

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not wrong


def test_what_was_prepared_is_used_first():
    memory = RecycledMemory()
    memory.prepare([4 * LEAST_BYTES, 100, LEAST_BYTES])
    assert [len(piece) for piece in memory._free] == [4 * LEAST_BYTES, LEAST_BYTES]
    assert memory.empty((LEAST_BYTES,), np.float32).nbytes == 4 * LEAST_BYTES
    assert [len(piece) for piece in memory._free] == [LEAST_BYTES, 4 * LEAST_BYTES]  # and back again
