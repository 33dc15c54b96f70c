"""Probability maps -> objects: a watershed that starts at the cores, so that touching objects come apart.

The only module that uses scikit-image, which is imported when it is called (extra `objects`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import extras
from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .manifest import Objects


def label_objects(
    probability: NDArray[np.float32], core: NDArray[np.float32] | None, threshold: float, objects: Objects
) -> NDArray[np.int32]:
    """Number the objects of a frame.

    probability : float32 (H, W) in [0, 1], foreground; the mask is probability > threshold
    core : float32 (H, W) in [0, 1], eroded interior of objects, or None: then objects are connected components
    Returns int32 (H, W): 0 is background, objects are 1, 2, ... without gaps. Neighbours share an edge, not a corner.
    EdgescopeError when scikit-image is missing.
    """
    mask = probability > threshold
    parts = _components(mask)
    if core is None:
        return _drop_small(parts, objects.min_area)
    if core.shape != mask.shape:
        msg = f"Probability has shape {mask.shape} and core {core.shape}; both come from the same frame."
        raise InputError(msg)
    markers = _components(mask & (core > objects.core_threshold))
    markers = _mark_the_rest(markers, parts)
    watershed = extras.load("skimage.segmentation", extra="objects").watershed
    labels: NDArray[np.int32] = watershed(-core, markers, mask=mask)
    return _drop_small(labels, objects.min_area)


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


def _drop_small(labels: NDArray[np.int32], min_area: int) -> NDArray[np.int32]:
    """Remove objects under min_area pixels and number the others without gaps."""
    areas = np.bincount(labels.ravel())
    keep = (areas >= min_area) & (areas > 0)
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0).astype(np.int32)[labels]
