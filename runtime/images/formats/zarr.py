"""OME-Zarr by zarr (extra `readers` or `dask`): each image of a store is a scene, at its full resolution."""

# The libraries that are called here have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...system import extras, memory
from .. import ome_zarr
from ..scene import ImageFile, Scene, Spacing, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..ome_zarr import ZarrImage


def open_scenes(file: Path, name: str) -> ImageFile:
    """InputError where the folder holds no image."""
    images = ome_zarr.list_images(file)
    scenes = tuple(_scene(image, called, name) for called, image in images.items())
    return ImageFile(scenes, default=0 if len(scenes) == 1 else None)


def _scene(image: ZarrImage, called: str, name: str) -> Scene:
    array: Any = extras.load("zarr", extra="readers").open_array(store=str(image.store), path=image.component, mode="r")
    axes = "".join(axis.name.upper() for axis in image.axes)
    dtype = np.dtype(image.dtype).newbyteorder("=")

    def read(index: tuple[int, ...]) -> NDArray[Any]:
        height, width = image.shape[-2:]
        memory.claim(height * width * dtype.itemsize, f"A plane of {name} ({height} x {width})")
        return np.asarray(array[tuple(index)])

    um = {axis.name: ome_zarr.size_um(axis) for axis in image.axes}
    time = next((seconds(axis.scale, axis.unit) for axis in image.axes if axis.name == "t"), None)
    spacing = Spacing(um.get("y"), um.get("x"), um.get("z"), time)
    notes = () if image.is_stored() else ("none of its chunks is stored: it holds its fill value everywhere",)
    return Scene(called, axes, image.shape, dtype, read, image.channels, spacing, notes)
