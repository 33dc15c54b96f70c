"""What a worker does with one block. Each task ends with the note that it is done, so that no run repeats it.

Arrays are named by their store and their path in it. A task writes whole chunks that no other one writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..objects.stitching import Key, label_block
from ..system import atomic, extras

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ..artifact.manifest import Objects
    from ..objects.stitching import Block, BlockLabels
    from .source import Index

Where = tuple[Any, ...]  # the indices of a plane, then rows and columns


def store_mask(probability: NDArray[np.float32], threshold: float, result: Path, where: Where) -> int:
    """Write the mask, 0 and 255, and return its pixels."""
    mask = probability > threshold
    _array(result, "0")[where] = mask.astype(np.uint8) * np.uint8(255)
    return int(np.count_nonzero(mask))


def store_maps(
    maps: NDArray[np.float32],
    foreground: int,
    threshold: float,
    result: Path,
    to: list[tuple[int, Path, str]],
    where: Where,
    work: Path,
    name: str,
) -> None:
    """Write the mask, and each channel that is wanted to the array that is named for it.

    maps : float32 (channels, h, w); foreground : the channel of which the mask is made
    """
    for channel, store, component in to:
        _array(store, component)[where] = maps[channel]
    note(work, name, {"foreground": store_mask(maps[foreground], threshold, result, where)})


def label_one(
    scratch: Path, index: Index, block: Block, with_core: bool, rule: tuple[float, Objects], work: Path, name: str
) -> None:
    """Number a block's objects by itself, and keep what its borders show; rule: threshold and Objects."""
    probability = _array(scratch, "probability")[(*index, *block.seen)]
    core = _array(scratch, "core")[(*index, *block.seen)] if with_core else None
    found = label_block(block, probability, core, *rule)
    _array(scratch, "local")[(*index, block.rows, block.cols)] = found.labels
    write_strips(work, name, found)
    note(work, name, {"count": found.count})


def renumber(scratch: Path, result: Path, where: Where, table: NDArray[np.int32], work: Path, name: str) -> None:
    """Give a block's objects their numbers in the plane."""
    _array(result, "labels/objects/0")[where] = table[_array(scratch, "local")[where]]
    note(work, name, {})


def halve_one(result: Path, component: str, level: int, where: Where, work: Path, name: str) -> None:
    """Write a part of a level of the pyramid: every second row and column of the level before."""
    finer = _array(result, f"{component}/{level - 1}".lstrip("/"))
    coarser = _array(result, f"{component}/{level}".lstrip("/"))
    *index, rows, cols = where
    coarser[where] = finer[(*index, _doubled(rows), _doubled(cols))][..., ::2, ::2]
    note(work, name, {})


def _doubled(part: slice) -> slice:
    return slice(2 * part.start, 2 * part.stop)  # arrays end where they end


def _array(store: Path, component: str) -> Any:
    return extras.load("zarr", extra="dask").open_array(store=str(store), path=component, mode="r+")


def note(work: Path, name: str, what: Any) -> None:
    """Note that a task is done, and what others have to know of it."""
    atomic.write_bytes(work / "done" / name, json.dumps(what).encode())


def write_strips(work: Path, name: str, found: BlockLabels) -> None:
    """Keep what `join` needs of a block: its areas and its strips."""
    areas = np.bincount(found.labels.ravel(), minlength=found.count + 1)
    path = work / "strips" / f"{name.removeprefix('labels-')}.npz"
    with atomic.replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, areas=areas, **found.strips)


def read_areas(work: Path, name: str) -> NDArray[np.int64]:
    """A block's areas, which write_strips kept."""
    with np.load(work / "strips" / f"{name}.npz", allow_pickle=False) as stored:
        return stored["areas"]


class StoredStrips(Mapping[Key, "Mapping[str, NDArray[np.int32]]"]):
    """The strips of a plane's blocks, read when they are looked at. Those of about a row of blocks stay in memory."""

    def __init__(self, work: Path, names: Mapping[Key, str]) -> None:
        self._names = names
        in_a_row = 1 + max(column for _, column in names)
        self._read = lru_cache(in_a_row + 2)(partial(_read_strips, work))

    def __getitem__(self, key: Key) -> Mapping[str, NDArray[np.int32]]:
        return self._read(self._names[key])

    def __iter__(self) -> Iterator[Key]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _read_strips(work: Path, name: str) -> dict[str, NDArray[np.int32]]:
    with np.load(work / "strips" / f"{name}.npz", allow_pickle=False) as stored:
        return {side: stored[side] for side in stored.files if side != "areas"}
