"""What the values of a label picture mean: instances, or a mask, or something that must not be counted as objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distill.datasets.pictures import grey_of
from runtime.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASK_VALUES = (1, 127, 128, 254, 255, 32767, 32768, 65535)
CLASSES = ({1, 2}, {1, 2, 3}, {127, 255}, {128, 255}, {85, 170, 255})
FEW = 8  # values; more in pieces are smoothed edges or an image
PIECES = 2.0  # pieces per value from which the values are no instances
SURE = 6  # pieces at least
TOUCHING = 1.5  # pieces per value of what CLASSES lists


@dataclass(frozen=True, eq=False)
class Instances:
    """labels : int32 (H, W), instances numbered from 1, 0 is background

    from_mask : whether it was a mask, whose connected components became the instances
    """

    labels: NDArray[np.int32]
    from_mask: bool = False


def instances(picture: NDArray, name: str) -> NDArray[np.int32]:
    """Instances numbered from 1, from ids or from a mask, of a pipeline that writes nothing else; see interpret."""
    return _read(picture, name, check=False).labels


def interpret(picture: NDArray, name: str) -> Instances:
    """Read the values of a label picture (H, W), whole numbers of any dtype.

    A picture with one value besides 0, of MASK_VALUES, is a mask: its connected components (sharing an edge, as in the
    runtime) are the objects. InputError for classes, smoothed edges, probabilities, colours and negative numbers.
    """
    return _read(picture, name, check=True)


def _read(picture: NDArray, name: str, check: bool) -> Instances:
    if picture.ndim == 3 and picture.shape[-1] in (2, 3, 4):
        picture = grey_of(picture, name)
    if picture.ndim != 2:
        msg = f"Labels {name!r} have shape {picture.shape}; give one (H, W) image of instance ids."
        raise InputError(msg)
    ids, place = np.unique(picture, return_inverse=True)
    whole = picture.dtype.kind in "bui" or (np.isfinite(ids).all() and (ids == np.rint(ids)).all())
    if not whole or (ids < 0).any():
        msg = f"Labels {name!r} hold {ids[0]} to {ids[-1]} ({picture.dtype}); give whole numbers from 0."
        raise InputError(msg)
    objects = ids[ids > 0]
    if len(objects) == 1 and objects[0] in MASK_VALUES:
        from scipy import ndimage

        components: NDArray = ndimage.label(picture > 0)[0]  # type: ignore[index]
        return Instances(components.astype(np.int32), from_mask=True)
    numbers = (place.reshape(picture.shape) + int(ids[0] > 0)).astype(np.int32)
    if check and len(objects) > 1:
        _check_instances(numbers, objects, name)
    return Instances(numbers)


def _check_instances(numbers: NDArray[np.int32], values: NDArray, name: str) -> None:
    """Refuse values that occur in many separate pieces: they are no instances."""
    from skimage.measure import label

    pieces = int(np.max(label(numbers, background=0, connectivity=2)))  # type: ignore[arg-type]
    ratio = pieces / len(values)
    listed = any(set(values.tolist()) == classes for classes in CLASSES)
    if not (ratio >= PIECES and pieces >= SURE) and not (listed and (ratio >= TOUCHING or values[0] > 2)):
        return
    if len(values) <= FEW:
        shown = ", ".join(f"{value:g}" for value in values)
        msg = (
            f"Labels {name!r} hold the values {shown} in {pieces} separate pieces: classes, not objects; export one "
            "number per object (instance labels), or one class alone as a 0/255 mask."
        )
    else:
        msg = (
            f"Labels {name!r} hold {len(values)} values in {pieces} separate pieces: smoothed edges of a mask, or an "
            "image, not objects; export instance labels, or a 0/255 mask without smoothing, resizing or JPEG."
        )
    raise InputError(msg)
