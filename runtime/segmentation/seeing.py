"""The size of the objects in a frame, seen by the network itself, from coarse to fine.

On a level that is too coarse the objects are too small to be found; on one that is too fine, their texture is. Coming
from the coarse side, the first level on which objects have the size that the student was made for, and on which the
network is sure of them, shows their size to about a tenth. The three coarsest levels are looked at whole, which costs
1/256 + 1/64 + 1/16 of the frame; the finer ones in a few windows where most is to be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frames.resize import resize
from ..frames.scale import median_diameter
from ..objects.instances import label_and_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ..artifact.manifest import Objects, ObjectSize
    from ..frames.normalize import Frame, Limits

LEVELS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
LEAST_SIDE = 48  # pixels: a coarser level of a small frame shows nothing
WINDOWS = 2  # of a tile each, of a level over WHOLE_LEVEL of which more than WHOLE tiles would be needed
WHOLE, WHOLE_LEVEL = 4, 1 / 4
REACH = 1.7  # objects of a level may be so many times smaller or larger than the student's
SURE = 0.79  # certainty below which a network guesses, where its student does not say how sure it is
ALLOWANCE = 0.97  # of the certainty that its student had on nearly all validation frames, where it says so
FAINT = 0.2
FEWEST_WHOLE = 3  # objects off the border, for their sizes alone to count
HUGE = 0.25  # of a level's area: an object that fills more is the background of a level that is too coarse


@dataclass(frozen=True)
class Seen:
    """What a level shows: the median diameter (pixels of the frame), how sure the network is (0 to 1), and how many."""

    diameter_px: float
    certainty: float
    objects: int


@dataclass(frozen=True)
class Look:
    """How a student looks at an image.

    maps : an image (h, w) to float32 (C, h, w); tile : (h, w) that it takes at once; foreground, core : channels, core
        None where there is none; threshold, rule : how objects are made of the maps; size : of the student's objects
    """

    maps: Callable[[NDArray[Any]], NDArray[np.float32]]
    tile: tuple[int, int]
    foreground: int
    core: int | None
    threshold: float
    rule: Objects
    size: ObjectSize


def see(frame: Frame, limits: Limits, look: Look) -> tuple[Seen | None, bool]:
    """The size of a frame's objects, None where no level shows it, and whether any level showed an object at all.

    A student that is never sure of the size, as of whole cells, is not asked.

    frame : ndarray of shape (H, W), uint8, uint16 or float32; limits : its intensity_range
    """
    if look.size.certainty == 1.0:
        return None, True
    is_anything = False
    sure = SURE if look.size.certainty is None else ALLOWANCE * look.size.certainty
    for level in LEVELS:
        if min(frame.shape) * level < LEAST_SIDE and level < 1:
            continue
        seen = _see_level(list(_images(frame, limits, level, look.tile)), level, look)
        if seen is None:
            continue
        is_anything = True
        on_level = seen.diameter_px * level
        if look.size.median_px / REACH <= on_level <= look.size.median_px * REACH and seen.certainty >= sure:
            return seen, True
    return None, is_anything


def _see_level(images: list[NDArray[Any]], level: float, look: Look) -> Seen | None:
    """None where there is no object, or one that fills the image."""
    areas: list[NDArray[np.int64]] = []
    sure, pixels = 0.0, 0
    for image in images:
        maps = look.maps(image)
        probability = maps[look.foreground]
        core = None if look.core is None else maps[look.core]
        labels, count = label_and_count(probability, core, look.threshold, look.rule)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        if count and sizes[1:].max() > HUGE * image.size:
            return None
        areas.append(_whole(labels, sizes))
        visible = probability[probability > FAINT]
        sure += certainty(visible) * visible.size
        pixels += visible.size
    every = np.concatenate(areas)
    diameter = median_diameter(every)
    return None if diameter is None else Seen(diameter / level, sure / max(1, pixels), every.size)


def certainty(visible: NDArray[np.floating[Any]]) -> float:
    """How sure a network is: the mean of |2p - 1| of its foreground probabilities over FAINT, float (n,)."""
    return float(np.abs(2 * visible - 1).mean(dtype=np.float64)) if visible.size else 0.0


def _whole(labels: NDArray[np.int32], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sizes of the objects that the border does not cut, unless these are too few to tell."""
    present = np.arange(len(sizes)) > 0
    inner = present & (sizes > 0)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        inner[edge] = False
    return sizes[inner if np.count_nonzero(inner) >= FEWEST_WHOLE else present]


def _images(frame: Frame, limits: Limits, level: float, tile: tuple[int, int]) -> Iterator[NDArray[Any]]:
    """The frame on a level, or windows of it where the whole would be more than WHOLE tiles."""
    height, width = (max(1, round(side * level)) for side in frame.shape)
    if -(-height // tile[0]) * -(-width // tile[1]) <= WHOLE or level <= WHOLE_LEVEL:
        yield resize(frame, (height, width)) if level != 1.0 else frame
        return
    for rows, cols in _windows(frame, limits, (round(tile[0] / level), round(tile[1] / level))):
        part = frame[rows, cols]
        yield part if level == 1.0 else resize(part, (round(part.shape[0] * level), round(part.shape[1] * level)))


def _windows(frame: Frame, limits: Limits, shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Those places of a grid of windows (h, w) where intensities differ most, within the frame's range."""
    height, width = (min(side, whole) for side, whole in zip(shape, frame.shape, strict=True))
    down, across = frame.shape[0] // height, frame.shape[1] // width
    low, extent = limits[0], max(limits[1] - limits[0], 1e-12)
    contrast: list[tuple[float, int, int]] = []
    for row in range(down):
        for col in range(across):
            part = frame[row * height : (row + 1) * height, col * width : (col + 1) * width]
            sample = ((part[::8, ::8].astype(np.float64) - low) / extent).clip(0, 1)
            contrast.append((-float(sample.std()), row, col))
    return [
        (slice(row * height, (row + 1) * height), slice(col * width, (col + 1) * width))
        for _, row, col in sorted(contrast)[:WINDOWS]
    ]
