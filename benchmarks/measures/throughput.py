"""How many tiles per second a stream of tiles reaches: one after the other, in batches, and several at once.

Several at once are the requests of one session where the backend offers that, else as many sessions in as many threads.
Batches need a model whose shape can be changed: artefacts are built for one tile, so not every one can take more.
What comes out is compared with what the same tiles give one by one: a fast wrong answer is no throughput.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measures.figures import Rate, Throughput
from runtime import backend as backends
from runtime import open_artifact
from runtime.errors import EdgescopeError
from runtime.system.processor import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchmarks.measures.job import MeasureJob

BATCHES = (2, 4, 8)
REPEATS = 5
LEAST_S = 0.4  # of each repeat
TILES = 8  # different ones, sent again and again; a multiple of every batch
SAME = 0.02  # mean difference of probabilities, at most
SEED = 0


class Stream:
    """Many tiles in, many results out, by `requests` threads at once that each send `batch` tiles in a call.

    EdgescopeError for a batch that the backend or the model cannot take.
    """

    def __init__(self, job: MeasureJob, batch: int, requests: int) -> None:
        artifact, execution = open_artifact(Path(job.artifact)), job.execution
        backend = backends.choose(artifact.manifest, execution.backend)
        self.batch, self.requests = batch, requests
        self._sessions: list[backends.Session]
        if batch > 1:
            self._sessions = [backend.open_batched(artifact, batch, execution)]
        elif requests > 1 and backend.concurrent:
            self._sessions = [backend.open(artifact, replace(execution, performance="throughput", requests=requests))]
        else:
            each = replace(execution, threads=threads_each(execution.threads, requests))
            self._sessions = [backend.open(artifact, each) for _ in range(requests)]
        self._pool = ThreadPoolExecutor(requests)

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tiles (N, 1, h, w), N a multiple of the batch -> probabilities (N, C, h, w), in their order."""
        parts = tiles.reshape(-1, self.batch, *tiles.shape[1:])
        runs = [self._sessions[number % len(self._sessions)].run for number in range(self.requests)]
        return shared_out(self._pool, runs, parts)

    def close(self) -> None:
        """Release the model."""
        self._pool.shutdown()
        for session in self._sessions:
            session.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()


def measure_throughput(job: MeasureJob) -> Throughput:
    """All ways, one after the other, in this process."""
    tile = open_artifact(Path(job.artifact)).manifest.tile
    tiles = np.random.default_rng(SEED).random((TILES, 1, *tile), dtype=np.float32)
    with Stream(job, 1, 1) as stream:
        expected = stream.run(tiles)
        sequential = rate(stream, tiles)
    ways = {
        "batches": [(batch, 1) for batch in BATCHES],
        "requests": [(1, requests) for requests in numbers_of_requests(usable_cores())],
    }
    rates: dict[str, list[Rate]] = {name: [] for name in ways}
    not_measured: dict[str, str] = {}
    for name, sizes in ways.items():
        for batch, requests in sizes:
            try:
                with Stream(job, batch, requests) as stream:
                    _check(stream.run(tiles), expected)
                    rates[name].append(rate(stream, tiles))
            except EdgescopeError as error:
                not_measured[name] = str(error)
                break
    return Throughput(sequential, tuple(rates["batches"]), tuple(rates["requests"]), not_measured)


def numbers_of_requests(cores: int) -> tuple[int, ...]:
    """2, 4, ... up to twice the cores: more only wait for each other."""
    return tuple(number for number in (2, 4, 8, 16, 32) if number <= max(2, 2 * cores))


def threads_each(threads: int | None, requests: int) -> int | None:
    """Requests share the threads that were asked for, or else the cores; one alone has the library's own number."""
    return threads if requests == 1 else max(1, (threads or usable_cores()) // requests)


def shared_out(
    pool: ThreadPoolExecutor, runs: list[Callable[[Any], NDArray[np.float32]]], parts: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Run n takes the parts n, n + N, n + 2 N, ...; the results come back in the order of the parts."""
    count = len(runs)

    def every(number: int) -> list[NDArray[np.float32]]:
        return [runs[number](part) for part in parts[number::count]]

    results = list(pool.map(every, range(count))) if count > 1 else [every(0)]
    return np.concatenate([results[index % count][index // count] for index in range(len(parts))])


def rate(stream: Stream, tiles: NDArray[np.float32]) -> Rate:
    """The rate of each repeat, after one that does not count."""
    _tiles_per_s(stream, tiles)
    samples = tuple(_tiles_per_s(stream, tiles) for _ in range(REPEATS))
    return Rate(stream.batch, stream.requests, median(samples), samples)


def _tiles_per_s(stream: Stream, tiles: NDArray[np.float32]) -> float:
    done, start = 0, perf_counter()
    while (seconds := perf_counter() - start) < LEAST_S or not done:
        stream.run(tiles)
        done += len(tiles)
    return done / seconds


def _check(results: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    difference = float(np.abs(results - expected).mean())
    if not difference <= SAME:
        msg = f"it gives other results than tile by tile: probabilities differ by {difference:.3g} on average"
        raise EdgescopeError(msg)
