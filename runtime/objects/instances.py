"""Probability maps -> objects: touching ones come apart at the passes between their summits; see kernel/flood.c.

Each connected part of the mask is labelled from what lies inside it alone. So a part that is cut out whole gets the
objects it has in its frame, which is what `stitching` builds on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .. import kernel
from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..artifact.manifest import Objects


def label_objects(
    probability: NDArray[np.float32], core: NDArray[np.float32] | None, threshold: float, objects: Objects
) -> NDArray[np.int32]:
    """Number the objects of a frame.

    probability : float32 (H, W) in [0, 1], foreground; the mask is probability > threshold
    core : float32 (H, W) in [0, 1], interior of objects, where the seeds are (see manifest.Objects); None: seeds are
        the peaks of the distance to the background
    Returns int32 (H, W): 0 is background, objects are 1, 2, ... in the reading order of their first pixels. Neighbours
    share an edge, not a corner. The same maps give the same labels on every platform.
    InputError for maps of different shapes, or of about 2^31 pixels.
    """
    return label_and_count(probability, core, threshold, objects)[0]


def label_and_count(
    probability: NDArray[np.float32],
    core: NDArray[np.float32] | None,
    threshold: float,
    objects: Objects,
    threads: int = 1,
) -> tuple[NDArray[np.int32], int]:
    """label_objects, by at most so many threads, and how many objects there are."""
    return _label(probability, core, threshold, objects, objects.min_area, threads)


def label_all(
    probability: NDArray[np.float32], core: NDArray[np.float32] | None, threshold: float, objects: Objects
) -> NDArray[np.int32]:
    """label_objects, with the small objects still there."""
    return _label(probability, core, threshold, objects, 0)[0]


def _label(
    probability: NDArray[np.float32],
    core: NDArray[np.float32] | None,
    threshold: float,
    objects: Objects,
    min_area: int,
    threads: int = 1,
) -> tuple[NDArray[np.int32], int]:
    if core is not None and core.shape != probability.shape:
        msg = f"Probability has shape {probability.shape} and core {core.shape}; both come from the same frame."
        raise InputError(msg)
    rule = kernel.Rule(threshold, objects.core_threshold, objects.core_prominence, objects.core_smoothing, min_area)
    return kernel.label(probability, core, rule, threads)


def drop_small(labels: NDArray[np.int32], min_area: int) -> NDArray[np.int32]:
    """Remove objects under min_area pixels and number the others without gaps."""
    return numbers_without_gaps(np.bincount(labels.ravel()), min_area)[labels]


def numbers_without_gaps(areas: NDArray[np.int64], min_area: int) -> NDArray[np.int32]:
    """New numbers for objects by their areas in pixels; 0 for the background, the small ones and those of no area."""
    keep = (areas >= min_area) & (areas > 0)
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0).astype(np.int32)


def scaled_rule(objects: Objects, factor: float) -> Objects:
    """The rule for maps on the frame's grid, where the student saw the frame resized by `factor`; see smooth_core."""
    if factor == 1.0:
        return objects
    smoothing = objects.core_smoothing / max(1.0, factor)
    return replace(objects, min_area=round(objects.min_area / factor**2), core_smoothing=smoothing)


def smooth_core(core: NDArray[np.float32], objects: Objects, factor: float) -> None:
    """Smooth a core map in place on the student's grid by what scaled_rule's smoothing leaves out on the frame's.

    Smoothing there would cost as many steps more as the frame has pixels more.
    """
    kernel.smooth(core, smoothing_passes(objects, factor))


def smoothing_passes(objects: Objects, factor: float) -> int:
    """How far in pixels smooth_core looks, and how often it smooths."""
    return round(2 * objects.core_smoothing**2 * (1 - factor**2)) if factor < 1 else 0
