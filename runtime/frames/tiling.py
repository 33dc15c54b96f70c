"""Frame -> tiles -> blended frame. THE frame path: deployment and validation in training both call segment_tiles.

Tiles are evenly spaced and overlap; each has a window along the rows and one along the columns. Along an axis the
windows of all tiles sum to 1 at every pixel, so their products do in the plane: the result is the plain sum of
weighted tiles, without a weight image and without seams. Memory is the result, one tile and nothing else.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import kernel
from ..errors import EdgescopeError, InputError
from .normalize import check_frame, intensity_range, scale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from ..artifact.manifest import Normalization
    from .normalize import Frame, Limits


def segment_tiles(
    frame: Frame,
    how: Normalization,
    tile: tuple[int, int],
    overlap: int,
    channels: int,
    infer: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    limits: Limits | None = None,
    out: NDArray[np.float32] | None = None,
    at_once: int = 1,
) -> NDArray[np.float32]:
    """Run a model over a frame of any size from 1x1 up, tile by tile, and blend what it returns.

    frame : ndarray of shape (H, W), uint8, uint16 or float32; InputError when it is not (see check_frame)
    tile : (h, w) that `infer` takes; a smaller frame is mirrored up to it
    overlap : least overlap of neighbours in pixels
    infer : float32 (1, 1, h, w) in [0, 1] -> probabilities, float32 (1, channels, h, w), an array of its own
    limits : the frame's intensity_range, where check_frame and it were called already
    out : where to write the result, float32 (channels, H, W); None makes a new array
    at_once : calls of `infer` in as many threads; the result is the same bit for bit, as tiles are added in their order
    Returns float32 of shape (channels, H, W) in [0, 1].
    """
    if limits is None:
        check_frame(frame)
        limits = intensity_range(frame, how)
    if len(Grid.over(frame.shape, tile, overlap)) == 1:
        return _segment_one(frame, tile, overlap, channels, infer, limits, out)
    result = np.empty((channels, *frame.shape), np.float32) if out is None else out
    whole = slice(0, frame.shape[0]), slice(0, frame.shape[1])
    for place, output in _in_order(tiles(frame, tile, overlap, limits), infer, at_once):
        _blend(result, whole, output, place, tile)
    return result


def _segment_one(
    frame: Frame,
    tile: tuple[int, int],
    overlap: int,
    channels: int,
    infer: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    limits: Limits,
    out: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """segment_tiles where one tile holds the frame: all its weights are 1, so what the model returns is the result."""
    ((place, pixels),) = tiles(frame, tile, overlap, limits)
    output = infer(pixels)
    _check_shape(output, (1, channels, *tile), place)
    maps = output[0, :, place.rows, place.cols]
    if out is None:  # a frame as large as the tile needs no memory of its own
        out = maps if maps.flags.c_contiguous and maps.flags.writeable else np.empty(maps.shape, np.float32)
    if out is not maps:
        out[:] = maps
    if not kernel.clip(out):
        raise _not_finite(place)
    return out


def _in_order(
    given: Iterator[tuple[TilePlace, NDArray[np.float32]]],
    infer: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    at_once: int,
) -> Iterator[tuple[TilePlace, NDArray[np.float32]]]:
    """What `infer` makes of each tile, in the tiles' order."""
    if at_once == 1:
        yield from ((place, infer(pixels)) for place, pixels in given)
        return
    with ThreadPoolExecutor(at_once, "edgescope-tile") as pool:
        running: deque[tuple[TilePlace, Future[NDArray[np.float32]]]] = deque()
        for place, pixels in given:
            running.append((place, pool.submit(infer, pixels)))
            if len(running) > at_once:  # one waits, so that no request does
                first, output = running.popleft()
                yield first, output.result()
        for place, output in running:
            yield place, output.result()


def segment_part(
    read: Callable[[slice, slice], Frame],
    shape: tuple[int, int],
    part: tuple[slice, slice],
    limits: Limits,
    tile: tuple[int, int],
    overlap: int,
    channels: int,
    infer: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """The part of segment_tiles' result in these rows and columns, bit for bit, from the tiles that touch it.

    read : rows and columns -> pixels of the frame there; asked for what Grid.needed names, and for no more
    shape : (H, W) of the whole frame, whose tiles they are; limits : its intensity_range
    Returns float32 of shape (channels, rows of the part, columns of the part) in [0, 1].
    """
    rows, cols = part
    result = np.empty((channels, rows.stop - rows.start, cols.stop - cols.start), np.float32)
    for place in Grid.over(shape, tile, overlap).touching(part):
        pixels = scale(read(place.rows, place.cols), limits, tile)
        _blend(result, part, infer(pixels[None, None]), place, tile)
    return result


def tiles(
    frame: Frame, tile: tuple[int, int], overlap: int, limits: Limits
) -> Iterator[tuple[TilePlace, NDArray[np.float32]]]:
    """What a model is given for a frame: each tile's place, and its pixels, float32 (1, 1, h, w) in [0, 1].

    The arguments are those of segment_tiles.
    """
    for place in Grid.over(frame.shape, tile, overlap):
        yield place, scale(frame[place.rows, place.cols], limits, tile)[None, None]


@dataclass(frozen=True)
class TilePlace:
    """Where a tile is in the frame, and its weight at each of those rows and columns (float32, sum 1 over tiles).

    first : the frame's row and column from which on pixels are in no earlier tile of the grid
    last : the row and column before which pixels are in no later tile
    """

    rows: slice
    cols: slice
    row_weights: NDArray[np.float32]
    col_weights: NDArray[np.float32]
    first: tuple[int, int]
    last: tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """The tiles over a frame. Each axis is a list of (slice, weights), one for each tile along it."""

    rows: list[tuple[slice, NDArray[np.float32]]]
    cols: list[tuple[slice, NDArray[np.float32]]]

    @classmethod
    def over(cls, shape: tuple[int, ...], tile: tuple[int, int], overlap: int) -> Grid:
        """Cover `shape` (H, W) with tiles (h, w): evenly spaced, the last ends at the frame's edge.

        InputError when the overlap is negative or not under the tile's smaller side.
        """
        if not 0 <= overlap < min(tile):
            msg = (
                f"Overlap {overlap} does not fit tiles of {tile[0]}x{tile[1]}; it must be 0 to {min(tile) - 1} pixels."
            )
            raise InputError(msg)
        return cls(_axis(shape[0], tile[0], overlap), _axis(shape[1], tile[1], overlap))

    def touching(self, part: tuple[slice, slice]) -> Grid:
        """The tiles that share pixels with these rows and columns, in the same order."""
        rows, cols = part
        return Grid([r for r in self.rows if _meet(r[0], rows)], [c for c in self.cols if _meet(c[0], cols)])

    @property
    def needed(self) -> tuple[slice, slice]:
        """The rows and columns that the tiles cover."""
        return slice(self.rows[0][0].start, self.rows[-1][0].stop), slice(self.cols[0][0].start, self.cols[-1][0].stop)

    def __len__(self) -> int:
        return len(self.rows) * len(self.cols)

    def __iter__(self) -> Iterator[TilePlace]:
        for rows, row_weights, first_row, last_row in _alone(self.rows):
            for cols, col_weights, first_col, last_col in _alone(self.cols):
                yield TilePlace(rows, cols, row_weights, col_weights, (first_row, first_col), (last_row, last_col))


def _blend(
    result: NDArray[np.float32],
    part: tuple[slice, slice],
    output: NDArray[np.float32],
    place: TilePlace,
    tile: tuple[int, int],
) -> None:
    """Add a tile's weighted output to the part of the frame that `result` holds."""
    _check_shape(output, (1, len(result), *tile), place)
    to_row, from_row = _shared(part[0], place.rows)
    to_col, from_col = _shared(part[1], place.cols)
    row_weights, col_weights = place.row_weights[from_row], place.col_weights[from_col]
    corner = place.rows.start + from_row.start, place.cols.start + from_col.start
    first, last = ((max(0, row - corner[0]), max(0, col - corner[1])) for row, col in (place.first, place.last))
    for channel, values in enumerate(output[0, :, from_row, from_col]):
        if not kernel.blend(values, row_weights, col_weights, result[channel, to_row, to_col], first, last):
            raise _not_finite(place)


def _alone(axis: list[tuple[slice, NDArray[np.float32]]]) -> Iterator[tuple[slice, NDArray[np.float32], int, int]]:
    """Each tile along an axis, with the place where the one before it ends, and that where the next one begins."""
    places = [place for place, _ in axis]
    ends = [places[0].start, *(place.stop for place in places[:-1])]
    begins = [*(place.start for place in places[1:]), places[-1].stop]
    for (place, weights), end, begin in zip(axis, ends, begins, strict=True):
        yield place, weights, end, begin


def _meet(one: slice, other: slice) -> bool:
    return one.start < other.stop and other.start < one.stop


def _shared(part: slice, tile: slice) -> tuple[slice, slice]:
    """What a part and a tile share along an axis, counted from the start of either."""
    start, stop = max(part.start, tile.start), min(part.stop, tile.stop)
    return slice(start - part.start, stop - part.start), slice(start - tile.start, stop - tile.start)


def _axis(size: int, tile: int, overlap: int) -> list[tuple[slice, NDArray[np.float32]]]:
    """The tiles along an axis: evenly spaced, the first begins at 0, the last ends at `size`.

    A weight is 1 inside a tile and goes by a squared sine down to almost 0 over the overlap, where a network sees least
    context; it is never 0.
    """
    starts, weights = kernel.tiles(size, tile, overlap)
    places = [slice(start, min(start + tile, size)) for start in starts.tolist()]
    return [(place, weight[: place.stop - place.start]) for place, weight in zip(places, weights, strict=True)]


def _check_shape(output: NDArray[np.float32], shape: tuple[int, ...], place: TilePlace) -> None:
    if output.shape != shape:
        msg = f"The model returned shape {output.shape} {_where(place)}; it should be {shape}."
        raise EdgescopeError(msg)


def _not_finite(place: TilePlace) -> EdgescopeError:
    return EdgescopeError(
        f"The model returned values that are not finite {_where(place)}; check it with: "
        "python -m runtime verify ARTIFACT."
    )


def _where(place: TilePlace) -> str:
    return f"for the tile at row {place.rows.start}, column {place.cols.start}"
