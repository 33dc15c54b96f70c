"""A run's place on the disk: the result so far, and what is done of it.

Beside OUT lies `.OUT.segment` while a run works: the request, the result so far, arrays that only the run needs, and
a note for every task that is done. The same request takes it up where it stopped.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import InputError
from ..images import ome_zarr
from ..images.ome_zarr import ImageLayout
from ..objects.stitching import Block, blocks_of
from ..system import atomic, extras

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from .source import Index, Source

CHUNK = 1024  # pixels along y and x of the result's chunks, where the blocks allow it
ATTRIBUTE = "edgescope"  # of the finished result: how it was made


class Tell(Protocol):
    """Called after each round of tasks: what is being done, how many of its tasks are, and how many there are."""

    def __call__(self, stage: str, done: int, of: int) -> None:
        """See the class."""
        ...


@dataclass
class Run:
    """One image on its way to OUT.

    images : the result's images by their path in it ("" is its root) and their dtypes
    width : how many tasks are computed at a time
    """

    out: Path
    request: Mapping[str, Any]
    source: Source
    block: int
    margin: int
    images: Mapping[str, str]
    tell: Tell
    width: int = 1

    @property
    def work(self) -> Path:
        """The hidden folder next to the result."""
        return self.out.with_name(f".{self.out.name}.segment")

    @property
    def result(self) -> Path:
        """The OME-Zarr while it is made."""
        return self.work / "result"

    @property
    def scratch(self) -> Path:
        """Arrays that labels are made from."""
        return self.work / "scratch.zarr"

    @cached_property
    def layout(self) -> ImageLayout:
        """Of the result's full resolution."""
        return ImageLayout(str(self.request["ngff"]), self.source.axes, self.source.array.shape, chunk_of(self.block))

    @cached_property
    def blocks(self) -> list[Block]:
        """Of every plane."""
        height, width = self.layout.shape[-2:]
        return list(blocks_of((height, width), self.block, self.margin))

    def each(self) -> Iterator[tuple[Index, Block, str]]:
        """All blocks of all planes, with a name for each."""
        for index in self.source.planes:
            for block in self.blocks:
                yield index, block, f"{name_of(index)}-{name_of(block.key)}"

    def finished(self) -> Mapping[str, Any] | None:
        """What the finished result says of itself, if it is there; InputError when something else is in its place."""
        if not self.out.exists():
            return None
        made_by: dict[str, Any] = ome_zarr.read_attributes(self.out).get(ATTRIBUTE, {}) if self.out.is_dir() else {}
        if made_by.get("request") != self.request:
            msg = f"{self.out} is there already, and was not made by this call; remove it, or give another OUT."
            raise InputError(msg)
        shutil.rmtree(self.work, ignore_errors=True)
        return made_by

    def take_up(self, scratch: Mapping[str, str]) -> None:
        """Begin, or go on where an earlier run of the same request stopped. scratch: names and dtypes of arrays."""
        file = self.work / "run.json"
        if file.is_file() and json.loads(file.read_text("utf-8")) != self.request:
            if any((self.work / "done").glob("maps-*")):
                msg = f"{self.work} holds a run with other images or options; remove it, or give another OUT."
                raise InputError(msg)
            shutil.rmtree(self.work)  # it has done no block, so that nothing is lost
        atomic.write_bytes(file, json.dumps(self.request, indent=2).encode())
        for image, dtype in self.images.items():
            for level in range(self.layout.levels):
                ome_zarr.create_array(self.result, component(image, level), self.layout.level(level), dtype)
        for name, dtype in scratch.items():
            ome_zarr.create_array(self.scratch, name, self.layout, dtype)

    def done(self, name: str) -> bool:
        """Whether a task has been done, now or by an earlier run."""
        return (self.work / "done" / name).is_file()

    def do(self, stage: str, tasks: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Compute the tasks that are not done, in rounds of a few per worker; return what every task has noted.

        tasks : functions that make a dask Delayed, by the name under which it notes that it is done
        """
        dask = extras.load("dask", extra="dask")
        missing = [name for name in tasks if not self.done(name)]
        count, step = len(tasks) - len(missing), max(4 * self.width, 8)
        self.tell(stage, count, len(tasks))
        for start in range(0, len(missing), step):
            now = missing[start : start + step]
            dask.compute(*(tasks[name]() for name in now))
            count += len(now)
            self.tell(stage, count, len(tasks))
        return {name: json.loads((self.work / "done" / name).read_text("utf-8")) for name in tasks}

    def finish(self, made_by: Mapping[str, Any]) -> None:
        """Describe the result, and put it into its place."""
        for image in self.images:
            more: dict[str, Any] = {}
            if image.startswith("labels/"):
                more["image-label"] = {"source": {"image": "../../"}}
                ome_zarr.write_group(self.result, "labels", self.layout, {"labels": [image.removeprefix("labels/")]})
            name = image.rpartition("/")[2] or "mask"
            ome_zarr.write_image_metadata(self.result, image, self.layout, name, more)
        for file in self.result.rglob("*.partial"):  # of zarr, in a run that was killed while it wrote a chunk
            file.unlink(missing_ok=True)
        ome_zarr.write_attributes(self.result, {ATTRIBUTE: {**made_by, "request": self.request}})
        self.result.rename(self.out)
        shutil.rmtree(self.work, ignore_errors=True)  # what is left is removed by the next call


def component(image: str, level: int) -> str:
    """Path of an image's array in the result."""
    return f"{image}/{level}".lstrip("/")


def name_of(numbers: tuple[int, ...]) -> str:
    """E.g. "0.12"; "0" for the only plane of an image."""
    return ".".join(map(str, numbers)) or "0"


def chunk_of(block: int) -> int:
    """The largest chunk up to CHUNK of which a block is a multiple, so that no two tasks write the same chunk."""
    parts = next((n for n in range(-(-block // CHUNK), 9) if block % n == 0), 1)
    return block // parts
