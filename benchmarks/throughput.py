"""How many tiles per second a stream of tiles reaches: one after the other, in batches, and several at once.

Several at once are OpenVINO's asynchronous requests; of another library, as many sessions in as many threads. Batches
need a model whose shape can be changed: artefacts are built for one tile, so not every one can take more.
What comes out is compared with what the same tiles give one by one: a fast wrong answer is no throughput.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from runtime import backend as backends
from runtime import open_artifact
from runtime.errors import EdgescopeError

from . import streams
from .figures import Rate, Throughput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .measurement import Job
    from .streams import Stream

BATCHES = (2, 4, 8)
REPEATS = 5
LEAST_S = 0.4  # of each repeat
TILES = 8  # different ones, sent again and again; a multiple of every batch
SAME = 0.02  # mean difference of probabilities, at most
SEED = 0


def measure_throughput(job: Job) -> Throughput:
    """All ways, one after the other, in this process."""
    artifact = open_artifact(Path(job.artifact))
    chosen = backends.choose(artifact.manifest, job.backend)
    way = streams.WAYS.get(chosen.name, streams.Sessions)
    setup = streams.Setup(artifact, chosen, job.threads, job.precision_hint)
    tiles = np.random.default_rng(SEED).random((TILES, 1, *artifact.manifest.tile), dtype=np.float32)
    with streams.Sessions(setup, 1, 1) as stream:
        due = stream.run(tiles)
        sequential = rate(stream, tiles)
    ways = {
        "batches": [(batch, 1) for batch in BATCHES],
        "requests": [(1, requests) for requests in numbers_of_requests(streams.usable_cores())],
    }
    rates: dict[str, list[Rate]] = {name: [] for name in ways}
    not_measured: dict[str, str] = {}
    for name, sizes in ways.items():
        for batch, requests in sizes:
            try:
                with way(setup, batch, requests) as stream:
                    _check(stream.run(tiles), due)
                    rates[name].append(rate(stream, tiles))
            except EdgescopeError as error:
                not_measured[name] = str(error)
                break
    return Throughput(sequential, tuple(rates["batches"]), tuple(rates["requests"]), not_measured)


def numbers_of_requests(cores: int) -> tuple[int, ...]:
    """2, 4, ... up to twice the cores: more only wait for each other."""
    return tuple(number for number in (2, 4, 8, 16, 32) if number <= max(2, 2 * cores))


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


def _check(found: NDArray[np.float32], due: NDArray[np.float32]) -> None:
    difference = float(np.abs(found - due).mean())
    if not difference <= SAME:
        msg = f"it gives other results than tile by tile: probabilities differ by {difference:.3g} on average"
        raise EdgescopeError(msg)
