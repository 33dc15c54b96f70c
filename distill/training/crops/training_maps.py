"""Instance labels -> what the student learns: foreground, and the core of each object.

The core is the object's interior, eroded or as a distance from its border: cores of touching objects stay apart, so
that they can be told apart again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL_AREA = 120  # pixels; smaller objects lose 1 px instead of 2, or they would have no core
DISC = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), 2)
CROSS = ndimage.generate_binary_structure(2, 1)
EDGE = 0.5  # pixels: from a pixel's middle to its side


def training_maps(labels: NDArray[np.int32], outputs: tuple[str, ...], kind: str = "eroded") -> NDArray[np.float32]:
    """Training targets in the order of the student's outputs.

    labels : (H, W) integer instance labels, 0 is background
    outputs : names among "foreground" and "core"
    kind : of core, one of CORES
    Returns float32 of shape (len(outputs), H, W), values 0 and 1, of a distance anything between.
    """
    planes = {"foreground": labels > 0}
    if "core" in outputs:
        planes["core"] = CORES[kind](labels)
    return np.stack([planes[name] for name in outputs]).astype(np.float32)


def core(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Interior pixels of every object: 2 px from its border, 1 px in objects under 120 px of area. Bool (H, W)."""
    inside = _interior(labels, DISC)
    areas = np.bincount(labels.ravel())
    small = (areas < SMALL_AREA)[labels]
    if not (small & (labels > 0)).any():
        return inside
    return np.where(small, _interior(labels, CROSS), inside)


def distance(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """How deep in its object a pixel lies: distance to what is not the object, over the object's largest. (H, W).

    Every object rises to 1 whatever its size, so one threshold finds the seeds of small and of large ones, and the
    map falls to near 0 where two objects touch (as in Naylor et al. 2019, doi 10.1109/TMI.2018.2865709, normalised).
    Beyond the frame's edge an object is taken to go on.
    """
    depth = np.zeros(labels.shape, np.float32)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is None:
            continue
        wide = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in place)
        mask = labels[wide] == number
        found = ndimage.distance_transform_edt(mask) if not mask.all() else np.ones(mask.shape)
        depth[wide][mask] = ((found - EDGE) / (found.max() - EDGE))[mask]
    return depth


def _interior(labels: NDArray[np.int32], footprint: NDArray[np.bool_]) -> NDArray[np.bool_]:
    lowest = ndimage.minimum_filter(labels, footprint=footprint, mode="nearest")
    highest = ndimage.maximum_filter(labels, footprint=footprint, mode="nearest")
    return (lowest == highest) & (labels > 0)


CORES = {"eroded": core, "distance": distance}
