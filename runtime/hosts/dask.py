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
from ..frames.normalize import DTYPES, count, without_blank
from ..frames.resize import needed_for_part, resize_part
from ..frames.scale import SEEN, DiameterRequest, Scale, check_pixel_size, factor_for, known_scale, resized_shape
from ..frames.tiling import Grid, segment_part
from ..objects.instances import smooth_core, smoothing_passes
from ..segmenter import Segmenter
from ..system import extras

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from ..artifact.manifest import Manifest, Normalization
    from ..frames.intensities import Ask, Counts, Intensities, Line, Range
    from ..frames.normalize import Frame
    from ..frames.scale import Diameter

BLOCK = 2048  # pixels; large against a tile, whose overlap both neighbours compute, and small against the memory
CONNECT_S = 10  # to wait for a scheduler's answer
KEPT = 2  # artefacts that a worker keeps open
WINDOW, MIDDLE = 2048, 128  # pixels: side of a window in which objects are looked at; half a side of its sample
WINDOWS = 4  # of a plane that are looked at
PLANES_LOOKED_AT = 8
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
    diameter: Diameter | None = None,
    pixel_size_um: float | None = None,
) -> Any:
    """Map an artefact over the planes of a dask array; nothing is read or computed before `.compute()`.

    Where the size of the objects must be seen (see runtime.frames.scale), a few windows of the first plane that shows
    it are read at once, and decide for all planes.

    array : dask array (..., H, W), uint8, uint16 or float32; each plane is a frame of its own
    block : side in pixels of what a task segments, and of the result's chunks
    diameter, pixel_size_um : of the objects and of the planes' pixels; see runtime.Segmenter
    Returns a dask array float32 (channels, ..., H, W) in [0, 1]; the artefact's manifest names the channels.
    """
    da = extras.load("dask.array", extra="dask")
    check_array(array.shape, array.dtype, block)
    manifest, model = describe(artifact, Execution(backend, device, threads))
    factor = scale_of(array, manifest, model, DiameterRequest.of(diameter), pixel_size_um, block).factor
    planes: list[Any] = []
    for index in product(*map(range, array.shape[:-2])):
        limits = intensities_of_plane(array[index], manifest.normalization, block).range
        rows = [
            [
                da.from_delayed(
                    maps_of_part(array[index], part, limits, manifest, model, factor),
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
    opened = open_artifact(Path(artifact), trust)
    return opened.manifest, Model(str(opened.path.resolve()), _digest(opened.manifest), execution)


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


def maps_of_part(plane: Any, part: Part, limits: Any, manifest: Manifest, model: Model, factor: float = 1.0) -> Any:
    """A delayed float32 (channels, h, w): the model's maps in one part of a dask plane (H, W).

    limits : the plane's intensity range, or a delayed one; factor : by which the student sees the plane resized
    """
    dask = extras.load("dask", extra="dask")
    plan = PartPlan.of(plane.shape, part, manifest, factor)
    return dask.delayed(_segment_part, pure=False)(plane[plan.pixels], plan, limits, model)


@dataclass(frozen=True)
class PartPlan:
    """What the maps of a part of a plane are made of.

    shape : (H, W) of the plane; part : of it; factor : by which the student sees the plane resized
    resized : (H', W') of the plane as the student sees it
    seen : the rows and columns of that which the part needs; tiles : those that their tiles cover
    pixels : the plane's rows and columns that are read
    """

    shape: tuple[int, int]
    part: Part
    factor: float
    resized: tuple[int, int]
    seen: Part
    tiles: Part
    pixels: Part

    @classmethod
    def of(cls, shape: tuple[int, int], part: Part, manifest: Manifest, factor: float) -> PartPlan:
        """The plan for a part of a plane that the student sees resized by `factor`."""
        resized = resized_shape(shape, factor)
        seen = part
        if resized != shape:
            margin = smoothing_passes(manifest.objects, factor)
            rows, cols = needed_for_part(resized, shape, part)
            seen = (_wider(rows, margin, resized[0]), _wider(cols, margin, resized[1]))
        tiles = Grid.over(resized, manifest.tile, manifest.overlap).touching(seen).needed
        pixels = tiles if resized == shape else needed_for_part(shape, resized, tiles)
        return cls(shape, part, factor, resized, seen, tiles, pixels)


def _wider(side: slice, margin: int, length: int) -> slice:
    return slice(max(0, side.start - margin), min(length, side.stop + margin))


def scale_of(
    array: Any, manifest: Manifest, model: Model, request: DiameterRequest, pixel_size_um: float | None, block: int
) -> Scale:
    """The scale of all planes of a dask array (..., H, W); where it must be seen, of the first plane that shows it."""
    check_pixel_size(pixel_size_um)
    scale = known_scale(request, pixel_size_um, manifest.object_diameter, manifest.pixel_size_um)
    if scale is not None:
        return scale
    dask = extras.load("dask", extra="dask")
    for index in list(product(*map(range, array.shape[:-2])))[:PLANES_LOOKED_AT]:
        limits = intensities_of_plane(array[index], manifest.normalization, block).range
        looks = [dask.delayed(_look)(array[index][place], limits, model) for place in _places(array[index])]
        diameters = [each for each in dask.compute(*looks) if each is not None]
        if diameters:
            assert manifest.object_diameter is not None  # or known_scale would have known
            diameter = float(np.median(diameters))
            return Scale(factor_for(diameter, manifest.object_diameter), diameter, SEEN)
    return Scale(1.0, None, "unseen")


def _look(pixels: Frame, limits: Range, model: Model) -> float | None:
    """The diameter of the objects in a window of a plane."""
    return opened(model).see(pixels, limits)


def _places(plane: Any) -> list[Part]:
    """Windows of a plane (H, W), those of a grid in whose middles intensities differ most; all of a small plane."""
    places = [(rows, cols) for rows in _spread(plane.shape[0]) for cols in _spread(plane.shape[1])]
    if len(places) <= WINDOWS:
        return places
    dask = extras.load("dask", extra="dask")
    middles = [plane[_middle(rows), _middle(cols)].std() for rows, cols in places]
    contrast: list[float] = [float(one) for one in dask.compute(*middles)]
    best = sorted(range(len(places)), key=lambda k: (-contrast[k], k))[:WINDOWS]
    return [places[k] for k in best]


def _spread(length: int) -> list[slice]:
    """Up to four windows along an axis, the first at its start and the last at its end."""
    side = min(length, WINDOW)
    starts = dict.fromkeys((length - side) * k // 3 for k in range(4))
    return [slice(start, start + side) for start in starts]


def _middle(side: slice) -> slice:
    centre = (side.start + side.stop) // 2
    return slice(max(side.start, centre - MIDDLE), min(side.stop, centre + MIDDLE))


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


def _segment_part(pixels: Frame, plan: PartPlan, limits: Range, model: Model) -> NDArray[np.float32]:
    """pixels: the plane's rows and columns `plan.pixels`."""
    segmenter = opened(model)
    start = (plan.pixels[0].start, plan.pixels[1].start)
    if plan.resized != plan.shape:
        pixels = resize_part(without_blank(pixels, limits), start, plan.shape, plan.resized, plan.tiles)
    top, left = (side.start for side in plan.tiles)

    def read(rows: slice, cols: slice) -> Frame:
        return pixels[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]

    manifest = segmenter.manifest
    tile, overlap, channels = manifest.tile, manifest.overlap, manifest.channels
    maps = segment_part(read, plan.resized, plan.seen, limits, tile, overlap, len(channels), segmenter.run_tile)
    if plan.resized == plan.shape:
        return maps
    if "core" in channels:
        smooth_core(maps[channels.index("core")], manifest.objects, plan.factor)
    start = (plan.seen[0].start, plan.seen[1].start)
    return np.stack([resize_part(one, start, plan.resized, plan.shape, plan.part) for one in maps]).clip(0, 1)


def _total(counts: list[Counts]) -> Counts:
    return np.sum(counts, axis=0)


def _add(one: Counts, other: Counts) -> Counts:
    return one + other


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(manifest.to_json().encode()).hexdigest()
