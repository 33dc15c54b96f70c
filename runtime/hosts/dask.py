"""An artefact mapped over a dask array: whole slides, plates and time series, on any scheduler (extra `dask`).

    maps = segment(array, "nuclei-fast-intel-int8")  # float32 (channels, ..., H, W), lazy
    mask = maps[0] > threshold

Each plane is normalised by its own intensities, those of the whole plane and never of a chunk, and cut into the tiles
that a Segmenter would cut it into. So the result is bit for bit that of a Segmenter on the plane, whatever the blocks.
A worker process opens the artefact once; its path must mean the same there, and so must its contents.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..artifact.artifact import open_artifact
from ..errors import EdgescopeError, InputError
from ..execution import DEFAULT, Execution
from ..frames.histograms import around, count_all
from ..frames.intensities import FrameEdge, find
from ..frames.normalize import DTYPES, count
from ..frames.tiling import Grid, segment_part
from ..segmenter import Segmenter
from ..system import extras

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from ..artifact.manifest import Manifest, Normalization
    from ..frames.intensities import Ask, Counts, Intensities, Line, Range
    from ..frames.normalize import Frame

BLOCK = 2048  # pixels; large against a tile, whose overlap both neighbours compute, and small against the memory
CONNECT_S = 10  # to wait for a scheduler's answer
KEPT = 2  # artefacts that a worker keeps open
LOCAL = ("threads", "processes", "synchronous")

Part = tuple[slice, slice]


@dataclass(frozen=True)
class Model:
    """What a worker opens. `digest` is the manifest's, so that all workers run the same."""

    path: str
    digest: str
    execution: Execution = DEFAULT


def segment(
    array: Any,
    artifact: str | Path,
    *,
    block: int = BLOCK,
    device: str | None = None,
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Map an artefact over the planes of a dask array; nothing is read or computed before `.compute()`.

    array : dask array (..., H, W), uint8, uint16 or float32; each plane is a frame of its own
    block : side in pixels of what a task segments, and of the result's chunks
    Returns a dask array float32 (channels, ..., H, W) in [0, 1]; the artefact's manifest names the channels.
    """
    da = extras.load("dask.array", extra="dask")
    check_array(array.shape, array.dtype, block)
    manifest, model = describe(artifact, Execution(backend, device, threads))
    planes: list[Any] = []
    for index in product(*map(range, array.shape[:-2])):
        limits = intensities_of_plane(array[index], manifest.normalization, block).range
        rows = [
            [
                da.from_delayed(
                    maps_of_part(array[index], part, limits, manifest, model),
                    (len(manifest.channels), *(side.stop - side.start for side in part)),
                    np.float32,
                )
                for part in row
            ]
            for row in parts_of(array.shape[-2:], block)
        ]
        planes.append(da.block(rows))
    return da.stack(planes, axis=1).reshape((len(manifest.channels), *array.shape))


def describe(artifact: str | Path, execution: Execution = DEFAULT, trust: Path | None = None) -> tuple[Manifest, Model]:
    """Verify an artefact here, and say what the workers are to open; trust : see open_artifact."""
    path = Path(artifact).resolve()
    manifest = open_artifact(path, trust).manifest
    return manifest, Model(str(path), _digest(manifest), execution)


def check_array(shape: tuple[int, ...], dtype: np.dtype[Any], block: int) -> None:
    """InputError for what has no planes to segment."""
    if len(shape) < 2 or 0 in shape:
        msg = f"The array has the shape {shape}; it needs planes (..., height, width) of at least one pixel."
        raise InputError(msg)
    if not any(np.can_cast(dtype, known, "equiv") for known in DTYPES):
        msg = f"The array is {dtype}; it must be uint8, uint16 or float32: cast it with array.astype(...)."
        raise InputError(msg)
    if block < 1:
        msg = f"Block is {block} pixels; it must be at least 1."
        raise InputError(msg)


def parts_of(shape: tuple[int, ...], block: int) -> list[list[Part]]:
    """The rows and columns of the blocks of a plane (H, W), row by row."""
    height, width = shape
    across = [slice(left, min(left + block, width)) for left in range(0, width, block)]
    down = [slice(top, min(top + block, height)) for top in range(0, height, block)]
    return [[(rows, cols) for cols in across] for rows in down]


def maps_of_part(plane: Any, part: Part, limits: Any, manifest: Manifest, model: Model) -> Any:
    """A delayed float32 (channels, h, w): the model's maps in one part of a dask plane (H, W).

    limits : the plane's intensity range, or a delayed one
    """
    dask = extras.load("dask", extra="dask")
    needed = Grid.over(plane.shape, manifest.tile, manifest.overlap).touching(part).needed
    return dask.delayed(_segment_part, pure=False)(plane[needed], needed, plane.shape, part, limits, model)


def intensities_of_plane(plane: Any, how: Normalization, block: int) -> Any:
    """The delayed Intensities of a dask plane (H, W), those of the whole of it, counted block by block."""
    dask = extras.load("dask", extra="dask")
    counts = dask.delayed(_total)([dask.delayed(count_all)(plane[part]) for part in _blocks(plane, block)])
    lines = (plane[0], plane[:, -1], plane[-1], plane[:, 0])
    return dask.delayed(_find, pure=False)(counts, plane.shape, *lines, how, _Again(plane, block))


class _Again:
    """Reads a plane once more, in the task that needs it: most planes are counted once, and are not kept for this."""

    def __init__(self, plane: Any, block: int) -> None:
        self.plane, self.block = plane, block

    def count(self, ask: Ask) -> Counts:
        """Add up what each block has; one of them after the other is in memory."""
        dask = extras.load("dask", extra="dask")
        add, count_one, total = dask.delayed(_add), dask.delayed(count), None
        for part in _blocks(self.plane, self.block):
            outer, inner = around(part, self.plane.shape, ask)
            one = count_one(self.plane[outer], ask, inner)
            total = one if total is None else add(total, one)
        return dask.compute(total, scheduler="synchronous")[0]


def _find(
    counts: Counts, shape: tuple[int, int], top: Line, right: Line, bottom: Line, left: Line,
    how: Normalization, again: _Again,
) -> Intensities:  # fmt: skip
    def answer(ask: Ask) -> Counts:
        return again.count(ask) if ask.away or ask.uppers else counts

    return find(FrameEdge.of(shape, top, right, bottom, left), how, answer)


def _blocks(plane: Any, block: int) -> list[Part]:
    return [part for row in parts_of(plane.shape, block) for part in row]


@contextmanager
def scheduler(name: str, workers: int | None = None) -> Generator[int]:
    """Compute on this scheduler, and yield how many tasks it runs at a time.

    name : threads, processes or synchronous, here; or the address of a dask scheduler, e.g. tcp://host:8786
    workers : of a local scheduler; None is one for each core
    InputError for another name; EdgescopeError when nothing answers at the address.
    """
    if name in LOCAL:
        with _local(name, workers) as count:
            yield count
        return
    if "://" not in name:
        msg = f"Scheduler is {name!r}; it must be {', '.join(LOCAL)}, or an address like tcp://host:8786."
        raise InputError(msg)
    distributed = extras.load("distributed", extra="dask")
    try:
        client = distributed.Client(name, timeout=CONNECT_S)
    except (OSError, ValueError) as error:  # among them distributed's own time-out
        msg = f"No dask scheduler answers at {name} ({error}); start one with: dask scheduler."
        raise EdgescopeError(msg) from error
    with client:
        try:
            yield max(1, sum(client.nthreads().values()))
        except distributed.KilledWorker as error:
            raise _lost(error) from error


@contextmanager
def _local(name: str, workers: int | None) -> Generator[int]:
    dask = extras.load("dask", extra="dask")
    count = 1 if name == "synchronous" else workers or int(extras.load("dask.system", extra="dask").CPU_COUNT)
    if name != "processes":
        with dask.config.set(scheduler=name, num_workers=count):
            yield count
        return
    # One pool for all computations: dask's own would start its processes, and so open the model, for each of them.
    with ProcessPoolExecutor(count, get_context("spawn")) as pool, dask.config.set(scheduler=name, pool=pool):
        try:
            yield count
        except BrokenExecutor as error:
            raise _lost(error) from error


def _lost(error: Exception) -> EdgescopeError:
    return EdgescopeError(f"Workers were lost, perhaps for want of memory ({error}); the same call goes on from there.")


_open: OrderedDict[Model, Segmenter] = OrderedDict()
_lock = threading.Lock()


def opened(model: Model) -> Segmenter:
    """This process's one Segmenter for a model; EdgescopeError when the artefact here is not the one that was meant."""
    with _lock:
        if model not in _open:
            artifact = open_artifact(Path(model.path))
            if _digest(artifact.manifest) != model.digest:
                msg = f"{model.path} is another artefact on this worker; give all of them the same files."
                raise EdgescopeError(msg)
            _open[model] = Segmenter.of(artifact, model.execution)
        _open.move_to_end(model)
        while len(_open) > KEPT:  # the oldest is released when the last task that uses it ends
            _open.popitem(last=False)
        return _open[model]


def _segment_part(
    pixels: Frame, needed: Part, shape: tuple[int, int], part: Part, limits: Range, model: Model
) -> NDArray[np.float32]:
    """pixels: the plane's rows and columns `needed`."""
    segmenter = opened(model)
    top, left = (side.start for side in needed)

    def read(rows: slice, cols: slice) -> Frame:
        return pixels[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]

    manifest = segmenter.manifest
    channels = len(manifest.channels)
    return segment_part(read, shape, part, limits, manifest.tile, manifest.overlap, channels, segmenter.run_tile)


def _total(counts: list[Counts]) -> Counts:
    return np.sum(counts, axis=0)


def _add(one: Counts, other: Counts) -> Counts:
    return one + other


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(manifest.to_json().encode()).hexdigest()
