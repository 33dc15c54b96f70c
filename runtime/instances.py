"""Probability maps -> objects: a watershed from seeds, so that touching objects come apart.

The only module that uses scikit-image and scipy, which are imported when they are called (extra `objects`).

Each connected part of the mask is labelled from what lies inside it alone. So a part that is cut out whole gets the
objects it has in its frame, which is what `stitching` builds on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import extras
from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .manifest import Objects

LEVELS = 4096  # of the core map: rounding in the blend of tiles (1e-7) must not decide between equal neighbours
RATE = 0.125  # of what differs between neighbours flows in one step of the smoothing; stable up to 0.25
EDGES = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)  # over corners, parts would influence each other
LEAST_NECK_PX, LEAST_NECK = 1.0, 0.1  # two bulges are two objects when the neck is that much narrower than both


def label_objects(
    probability: NDArray[np.float32], core: NDArray[np.float32] | None, threshold: float, objects: Objects
) -> NDArray[np.int32]:
    """Number the objects of a frame.

    probability : float32 (H, W) in [0, 1], foreground; the mask is probability > threshold
    core : float32 (H, W) in [0, 1], interior of objects, where the seeds are (see manifest.Objects); None: seeds are
        the peaks of the distance to the background (see seeds_from_distance)
    Returns int32 (H, W): 0 is background, objects are 1, 2, ... without gaps. Neighbours share an edge, not a corner.
    EdgescopeError when scikit-image is missing.
    """
    return drop_small(label_all(probability, core, threshold, objects), objects.min_area)


def label_all(
    probability: NDArray[np.float32], core: NDArray[np.float32] | None, threshold: float, objects: Objects
) -> NDArray[np.int32]:
    """label_objects, with the small objects still there."""
    if core is not None and core.shape != probability.shape:
        msg = f"Probability has shape {probability.shape} and core {core.shape}; both come from the same frame."
        raise InputError(msg)
    mask = probability > threshold
    if core is None:
        height = _distance(mask)
        markers = seeds_from_distance(height)
    else:
        height = smooth_inside(np.rint(core * LEVELS), mask, objects.core_smoothing)
        markers = _seeds(height, mask, objects)
    markers = _mark_the_rest(markers, _components(mask))
    watershed = extras.load("skimage.segmentation", extra="objects").watershed
    labels: NDArray[np.int32] = watershed(_relief(height, markers), markers, mask=mask)
    return labels


def _seeds(height: NDArray[np.float32], mask: NDArray[np.bool_], objects: Objects) -> NDArray[np.int32]:
    """Number the seeds of a core map in LEVELS: by a threshold, or the summits of a prominence."""
    if not objects.core_prominence:
        return _components(mask & (height > objects.core_threshold * LEVELS))
    inside = np.where(mask, height, 0)
    prominence = max(1, round(objects.core_prominence * LEVELS))
    return _components(mask & (_domes(inside, prominence) > prominence / 2))


def _domes(height: NDArray[Any], prominence: float) -> NDArray[Any]:
    """How far a map rises over what is left of it when it is lowered by `prominence` and may not rise again.

    h-domes (Vincent 1993, doi 10.1109/83.217222): `prominence` on summits that rise by it, less elsewhere.
    """
    morphology = extras.load("skimage.morphology", extra="objects")
    lowered = (height - prominence).clip(0)
    return height - morphology.reconstruction(lowered, height, footprint=EDGES)


def smooth_inside(core: NDArray[np.float32], mask: NDArray[np.bool_], deviation: float) -> NDArray[np.float32]:
    """A core map (H, W) of whole numbers smoothed within each connected part of the mask alone, and 0 outside.

    Diffusion by explicit steps (Crank 1975, eq. 8.2) with closed borders: like a Gaussian of `deviation` pixels far
    from them. Neighbours of a part have no say in it, or its objects would depend on where a frame is cut.
    """
    if not deviation:
        return core
    core = core.astype(np.float32, copy=False)
    smooth = np.where(mask, core, np.float32(0))
    vertical = (mask[1:] & mask[:-1]) * np.float32(RATE)
    horizontal = (mask[:, 1:] & mask[:, :-1]) * np.float32(RATE)
    for _ in range(max(1, round(deviation**2 / (2 * RATE)))):
        down = (smooth[1:] - smooth[:-1]) * vertical
        right = (smooth[:, 1:] - smooth[:, :-1]) * horizontal
        smooth[:-1] += down
        smooth[1:] -= down
        smooth[:, :-1] += right
        smooth[:, 1:] -= right
    return np.rint(smooth)


def seeds_from_distance(distance: NDArray[np.float64]) -> NDArray[np.int32]:
    """Number the peaks of a distance map (H, W) that rise over their surroundings: h-maxima (Soille 2003, 6.3.4).

    A peak counts when every way to a higher one goes down by over 1 pixel and over a tenth of its height; what is
    less is the roughness of an outline, and would split single objects.
    """
    morphology = extras.load("skimage.morphology", extra="objects")
    lowered = np.minimum(distance - LEAST_NECK_PX, distance * (1 - LEAST_NECK)).clip(0)
    flooded = morphology.reconstruction(lowered, distance, footprint=EDGES)
    peaks: NDArray[np.bool_] = morphology.local_maxima(flooded, connectivity=1) & (distance > 0)
    return _components(peaks)


def drop_small(labels: NDArray[np.int32], min_area: int) -> NDArray[np.int32]:
    """Remove objects under min_area pixels and number the others without gaps."""
    return numbers_without_gaps(np.bincount(labels.ravel()), min_area)[labels]


def numbers_without_gaps(areas: NDArray[np.int64], min_area: int) -> NDArray[np.int32]:
    """New numbers for objects by their areas in pixels; 0 for the background, the small ones and those of no area."""
    keep = (areas >= min_area) & (areas > 0)
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0).astype(np.int32)


def _relief(height: NDArray[Any], markers: NDArray[np.int32]) -> NDArray[np.float64]:
    """What the water rises in: the height upside down, and the markers' own pixels under it in reading order.

    They lie lower than what surrounds them in any case. But equal ones would start in an order that depends on the
    whole frame, and with them the line between two objects would.
    """
    relief = -height.astype(np.float64)
    marked = markers > 0
    relief[marked] = relief.min() - np.arange(np.count_nonzero(marked), 0, -1)
    return relief


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pixels to the background; beyond the frame's edge an object is taken to go on."""
    if mask.all():
        return mask.astype(np.float64)
    return extras.load("scipy.ndimage", extra="objects").distance_transform_edt(mask)


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    label = extras.load("skimage.measure", extra="objects").label
    numbered: NDArray[Any] = label(mask, connectivity=1)
    return numbered.astype(np.int32)


def _mark_the_rest(markers: NDArray[np.int32], parts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give each part of the mask that holds no marker a marker of its own: it becomes one object."""
    without = np.ones(int(parts.max()) + 1, np.bool_)
    without[0] = False
    without[parts[markers > 0]] = False
    numbers = np.where(without, markers.max() + np.cumsum(without), 0)
    return np.where(markers > 0, markers, numbers[parts]).astype(np.int32)
