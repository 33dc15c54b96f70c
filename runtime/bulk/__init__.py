"""A whole image, of any size, to masks and labels in an OME-Zarr: block by block on any dask scheduler, resumable.

`segment_image` is the main flow. It is done in stages; each is a task per block, which notes that it is done. A run
that was killed is taken up by the same call, and only a whole result takes its place at OUT; see run.py.
"""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import InputError
from ..execution import DEFAULT, Execution
from ..frames.intensities import Range
from ..frames.scale import Diameter, DiameterRequest, Scale
from ..hosts import dask as host
from ..images.ome_zarr import VERSIONS, pixel_size_um
from ..images.planes import EVERYTHING, PlaneChoice
from ..objects.rule import UNCHANGED, RuleChange
from ..objects.stitching import MARGIN, join
from ..system import extras
from ..system.lock import only_run, tidy
from . import tasks
from .run import Run, chunk_of, component, name_of
from .source import Source, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ..artifact.manifest import Manifest
    from ..hosts.dask import Model
    from .run import Tell

    Tasks = dict[str, Callable[[], Any]]

__all__ = ["Source", "Wanted", "open_source", "segment_image"]


@dataclass(frozen=True)
class Wanted:
    """What is to be made, and how; the options of `python -m runtime segment`."""

    artifact: Path
    labels: bool = False
    probability: bool = False
    choice: PlaneChoice = EVERYTHING
    block: int = host.BLOCK
    margin: int = MARGIN
    ngff: str | None = None
    scheduler: str = "threads"
    workers: int | None = None
    execution: Execution = DEFAULT
    trust: Path | None = None
    diameter: Diameter | None = None
    change: RuleChange = UNCHANGED


def segment_image(path: Path, out: Path, wanted: Wanted, tell: Tell) -> dict[str, Any]:
    """Segment the image at `path` (an OME-Zarr, or a file of any kind that is read here) into a new OME-Zarr at `out`.

    The result is an image, the mask (uint8, 0 and 255), with `labels/objects` and `probability` on request, and with
    the axes, pixel sizes and NGFF version of the source.
    Returns planes, height, width, blocks, foreground (share), objects (None without labels), scale (see
    runtime.frames.scale), flags (what is odd about the intensities of a plane), and how many of the blocks an earlier
    run had done.
    InputError when `out` is something else; EdgescopeError when another process makes it just now, and when workers
    are lost for good: call it again then.
    """
    manifest, model = host.describe(wanted.artifact, wanted.execution, wanted.trust)
    source = open_source(path, wanted.choice, wanted.block)
    host.check_array(source.array.shape, source.array.dtype, wanted.block)
    run = Run(out, _request(path, source, wanted, model), source, wanted.block, wanted.margin, _images(wanted), tell)
    if (made_by := run.finished()) is not None:
        tidy(out)
        return _as_found(made_by)
    with only_run(out), host.scheduler(wanted.scheduler, wanted.workers) as run.width:
        if (made_by := run.finished()) is not None:  # by another process, until a moment ago
            return _as_found(made_by)
        return _make(run, wanted, manifest, model)


def _as_found(made_by: Mapping[str, Any]) -> dict[str, Any]:
    return {**made_by["summary"], "found_done": made_by["summary"]["blocks"]}


def _make(run: Run, wanted: Wanted, manifest: Manifest, model: Model) -> dict[str, Any]:
    """All stages, as far as an earlier run has not done them."""
    run.take_up({"probability": "float32", "core": "float32", "local": "int32"} if wanted.labels else {})
    found_done = sum(run.done(f"maps-{name}") for _, _, name in run.each())
    limits = run.do("intensities", _measure(run, manifest))
    scale = _scale(run, wanted, manifest, model)
    maps = run.do("segment", _segment(run, wanted, manifest, model, limits, scale.factor))
    objects = _label(run, wanted, manifest, scale.factor) if wanted.labels else None
    for level in range(1, run.layout.levels):
        run.do(f"level {level}", _halve(run, level))
    height, width = run.source.array.shape[-2:]
    pixels = len(run.source.planes) * height * width
    flags = dict.fromkeys(flag for _, names in limits.values() for flag in names)
    summary: dict[str, Any] = {
        "planes": len(run.source.planes),
        "height": height,
        "width": width,
        "blocks": len(maps),
        "foreground": sum(noted["foreground"] for noted in maps.values()) / pixels,
        "objects": objects,
        "scale": asdict(scale),
        "flags": list(flags),
    }
    student = f"{manifest.student} for {manifest.target}, {manifest.precision}"
    rule = {"threshold": wanted.change.cut(manifest.threshold)}
    rule |= asdict(wanted.change.scaled(manifest.objects, scale.factor))
    run.finish({"version": __version__, "student": student, **rule, "summary": summary})
    return {**summary, "found_done": found_done}


def _scale(run: Run, wanted: Wanted, manifest: Manifest, model: Model) -> Scale:
    """What all planes are resized by; an earlier run's choice, where there is one."""
    note = run.work / "done" / "scale"
    if note.is_file():
        return Scale(**json.loads(note.read_text("utf-8")))
    um, request = pixel_size_um(run.source.axes), DiameterRequest.of(wanted.diameter)
    scale = host.scale_of(run.source.array, manifest, model, request, um, run.block)
    tasks.note(run.work, "scale", asdict(scale))
    return scale


def _request(path: Path, source: Source, wanted: Wanted, model: Model) -> dict[str, Any]:
    """All that the result depends on; a run with another request is another run."""
    version = wanted.ngff or source.version or VERSIONS[-1]
    if version not in VERSIONS:
        msg = f"NGFF version is {version}; it must be {' or '.join(VERSIONS)}."
        raise InputError(msg)
    return {
        "image": str(path.resolve()),
        "generation": source.generation,
        "axes": [list(astuple(axis)) for axis in source.axes],
        "shape": list(source.array.shape),
        "dtype": str(source.array.dtype),
        "artifact": model.digest,
        "ngff": version,
        "chunk": chunk_of(wanted.block),
        "choice": asdict(wanted.choice),
        **{name: getattr(wanted, name) for name in ("labels", "probability", "block", "margin", "diameter")},
        **{name: getattr(wanted.execution, name) for name in ("backend", "device")},
        **asdict(wanted.change),
    }


def _images(wanted: Wanted) -> dict[str, str]:
    found = {"": "uint8"}
    if wanted.labels:
        found["labels/objects"] = "int32"
    if wanted.probability:
        found["probability"] = "float32"
    return found


def _measure(run: Run, manifest: Manifest) -> Tasks:
    """The intensities of each plane."""
    note = extras.load("dask", extra="dask").delayed(tasks.note)

    def task(index: tuple[int, ...], name: str) -> Any:
        return note(
            run.work, name, host.intensities_of_plane(run.source.array[index], manifest.normalization, run.block)
        )

    names = {f"range-{name_of(index)}": index for index in run.source.planes}
    return {name: partial(task, index, name) for name, index in names.items()}


def _segment(
    run: Run, wanted: Wanted, manifest: Manifest, model: Model, limits: Mapping[str, Any], factor: float
) -> Tasks:
    """The mask of each block, and the maps that are wanted or that labels need."""
    store = extras.load("dask", extra="dask").delayed(tasks.store_maps)
    channels = manifest.channels
    foreground, threshold = channels.index("foreground"), wanted.change.cut(manifest.threshold)
    to: list[tuple[int, Path, str]] = []
    if "probability" in run.images:
        to.append((foreground, run.result, component("probability", 0)))
    if "labels/objects" in run.images:
        to += [(channels.index(c), run.scratch, s) for c, s in SCRATCH.items() if c in channels]

    def task(index: tuple[int, ...], part: host.Part, name: str) -> Any:
        range_, _ = limits[f"range-{name_of(index)}"]
        maps = host.maps_of_part(run.source.array[index], part, Range(*range_), manifest, model, factor)
        return store(maps, foreground, threshold, run.result, to, (*index, *part), run.work, name)

    return {
        f"maps-{name}": partial(task, index, (block.rows, block.cols), f"maps-{name}")
        for index, block, name in run.each()
    }


SCRATCH = {"foreground": "probability", "core": "core"}  # channels that labels are made from, and their arrays


def _label(run: Run, wanted: Wanted, manifest: Manifest, factor: float) -> int:
    """Label each block, stitch the blocks of each plane, and return how many objects there are in all planes."""
    dask = extras.load("dask", extra="dask")
    label, renumber = dask.delayed(tasks.label_one), dask.delayed(tasks.renumber)
    objects = wanted.change.scaled(manifest.objects, factor)
    with_core, rule = "core" in manifest.channels, (wanted.change.cut(manifest.threshold), objects)
    run.do(
        "label",
        {
            f"labels-{name}": partial(label, run.scratch, index, block, with_core, rule, run.work, f"labels-{name}")
            for index, block, name in run.each()
        },
    )
    count = 0
    numbers: Tasks = {}
    for index in run.source.planes:
        names = {block.key: f"{name_of(index)}-{name_of(block.key)}" for block in run.blocks}
        areas = {key: tasks.read_areas(run.work, name) for key, name in names.items()}
        tables = join(areas, tasks.StoredStrips(run.work, names), objects.min_area)
        count += max(int(table.max()) for table in tables.values())
        for block in run.blocks:
            name, where = f"numbers-{names[block.key]}", (*index, block.rows, block.cols)
            numbers[name] = partial(renumber, run.scratch, run.result, where, tables[block.key], run.work, name)
    run.do("stitch", numbers)
    return count


def _halve(run: Run, level: int) -> Tasks:
    """One more level of the pyramid, from the one before."""
    halve = extras.load("dask", extra="dask").delayed(tasks.halve_one)
    height, width = run.layout.level(level).shape[-2:]
    return {
        name: partial(halve, run.result, image, level, (*index, *part), run.work, name)
        for image in run.images
        for index in run.source.planes
        for row in host.parts_of((height, width), run.block)
        for part in row
        for name in [f"level{level}-{image.replace('/', '.')}-{name_of((*index, part[0].start, part[1].start))}"]
    }
