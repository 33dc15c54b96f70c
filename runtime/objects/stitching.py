"""Objects of a frame that is too large to label at once: block by block, without split cells.

Each block is labelled together with a margin of its surroundings and keeps the pixels inside it. Two neighbouring
blocks have both seen the strip around their border, one margin to either side. There the objects of one are compared
with those of the other, and two that are each other's largest overlap are one object.

Where no connected part of the mask is wider or higher than the margin, both have seen every object at their border
whole, and the result is that of `label_objects` on the whole frame but for the numbers. Where parts are larger (a
confluent layer), both still agree wherever the end of what they saw does not matter, which is as a rule some
objects away; pixels are never lost or given twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .instances import label_all, numbers_without_gaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from ..artifact.manifest import Objects

MARGIN = 128  # pixels; larger than a cell and its neighbours at any usual magnification

Key = tuple[int, int]  # a block, by its row and column among the blocks


@dataclass(frozen=True)
class Block:
    """A part of a frame: `key` among the blocks, its own `rows` and `cols`, and the `margin` seen around it."""

    key: Key
    rows: slice
    cols: slice
    shape: tuple[int, int]
    margin: int

    @property
    def seen(self) -> tuple[slice, slice]:
        """Rows and columns with the margin, as far as the frame goes."""
        return _widen(self.rows, self.margin, self.shape[0]), _widen(self.cols, self.margin, self.shape[1])

    def inside(self, rows: slice, cols: slice) -> tuple[slice, slice]:
        """Rows and columns of the frame, counted from the corner of what is seen."""
        seen_rows, seen_cols = self.seen
        return _shift(rows, seen_rows.start), _shift(cols, seen_cols.start)


@dataclass(frozen=True)
class BlockLabels:
    """One block's own objects: `labels` int32 of the block's shape, numbered from 1, and what its borders show.

    strips : for "top", "bottom", "left", "right", the labels one margin to either side of that border
    """

    labels: NDArray[np.int32]
    count: int
    strips: Mapping[str, NDArray[np.int32]]


def blocks_of(shape: tuple[int, int], block: int, margin: int) -> Iterator[Block]:
    """The blocks of a frame of shape (H, W), row by row. InputError for a side or a margin under 1."""
    if block < 1 or margin < 1:
        msg = f"Blocks are {block} pixels with a margin of {margin}; both must be at least 1."
        raise InputError(msg)
    for i, top in enumerate(range(0, shape[0], block)):
        for j, left in enumerate(range(0, shape[1], block)):
            rows, cols = slice(top, min(top + block, shape[0])), slice(left, min(left + block, shape[1]))
            yield Block((i, j), rows, cols, shape, margin)


def label_block(
    place: Block,
    probability: NDArray[np.float32],
    core: NDArray[np.float32] | None,
    threshold: float,
    objects: Objects,
) -> BlockLabels:
    """Label one block; probability and core are of `place.seen`."""
    seen = label_all(probability, core, threshold, objects)
    own = seen[place.inside(place.rows, place.cols)]
    return BlockLabels(own, int(seen.max()), {side: seen[place.inside(*at)] for side, at in _strips(place)})


def join(
    areas: Mapping[Key, NDArray[np.int64]], strips: Mapping[Key, Mapping[str, NDArray[np.int32]]], min_area: int
) -> dict[Key, NDArray[np.int32]]:
    """Make one numbering of all blocks' objects.

    areas : of each block, pixels inside it by the block's own numbers (0 is background)
    strips : see BlockLabels
    Returns for each block the numbers in the frame by the block's own numbers; 0 for those under min_area as a whole.
    """
    starts: dict[Key, int] = {}
    total = 1
    for key, own in areas.items():
        starts[key] = total - 1  # a block's number n is starts + n in the frame; 0 stays 0
        total += len(own) - 1
    parents = np.arange(total)
    for a, b in _same_objects(starts, areas, strips):
        parents[_root(parents, max(a, b))] = _root(parents, min(a, b))
    roots = np.array([_root(parents, i) for i in range(total)])
    sizes = np.concatenate([[0], *(own[1:] for own in areas.values())])
    numbers = numbers_without_gaps(np.bincount(roots, weights=sizes, minlength=total).astype(np.int64), min_area)[roots]
    return {
        key: np.concatenate([[0], numbers[starts[key] + 1 : starts[key] + len(own)]]).astype(np.int32)
        for key, own in areas.items()
    }


def largest_overlaps(one: NDArray[np.int32], other: NDArray[np.int32]) -> Iterable[tuple[int, int]]:
    """Pairs of numbers of two labellings of the same pixels that are each other's largest overlap."""
    both = (one > 0) & (other > 0)
    if not both.any():
        return []
    base = int(other.max()) + 1  # two numbers as one: sorting rows of two takes ten times as long
    pairs, sizes = np.unique(one[both].astype(np.int64) * base + other[both], return_counts=True)
    ours, theirs = np.divmod(pairs, base)
    best_of_one, best_of_other = _largest(ours, sizes), _largest(theirs, sizes)
    mutual = [k for k in range(len(sizes)) if best_of_one[int(ours[k])] == k == best_of_other[int(theirs[k])]]
    return [(int(ours[k]), int(theirs[k])) for k in mutual]


def _same_objects(
    starts: Mapping[Key, int],
    areas: Mapping[Key, NDArray[np.int64]],
    strips: Mapping[Key, Mapping[str, NDArray[np.int32]]],
) -> Iterator[tuple[int, int]]:
    """Pairs of the frame's running numbers that are one object; both have pixels inside their block."""
    for (i, j), own in strips.items():
        for neighbour, here, there in (((i + 1, j), "bottom", "top"), ((i, j + 1), "right", "left")):
            if neighbour not in strips:
                continue
            for a, b in largest_overlaps(own[here], strips[neighbour][there]):
                if areas[i, j][a] and areas[neighbour][b]:
                    yield starts[i, j] + a, starts[neighbour] + b


def _largest(numbers: NDArray[Any], sizes: NDArray[Any]) -> dict[int, int]:
    """For each number, where its largest size stands; of equal ones the first."""
    best: dict[int, int] = {}
    for k, number in enumerate(numbers.tolist()):
        if number not in best or sizes[k] > sizes[best[number]]:
            best[number] = k
    return best


def _root(parents: NDArray[np.intp], i: int) -> int:
    while parents[i] != i:
        parents[i] = i = int(parents[parents[i]])
    return i


def _strips(place: Block) -> Iterator[tuple[str, tuple[slice, slice]]]:
    """Rows and columns around each border; both blocks at it get the same, as none reaches past what both see."""
    height, width = place.shape
    for side, at in (("top", place.rows.start), ("bottom", place.rows.stop)):
        yield side, (_around(at, place.margin, height), place.cols)
    for side, at in (("left", place.cols.start), ("right", place.cols.stop)):
        yield side, (place.rows, _around(at, place.margin, width))


def _around(at: int, margin: int, size: int) -> slice:
    return slice(max(at - margin, 0), min(at + margin, size))


def _widen(part: slice, margin: int, size: int) -> slice:
    return slice(max(part.start - margin, 0), min(part.stop + margin, size))


def _shift(part: slice, start: int) -> slice:
    return slice(part.start - start, part.stop - start)
