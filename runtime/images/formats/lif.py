"""Leica LIF by liffile (extra `readers`). Each image of the project is a scene."""

# The libraries that are called here have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...system import extras, memory
from ..scene import ImageFile, Scene, Spacing, micrometres, seconds

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

MAGIC = b"\x70\0\0\0"


def open_scenes(file: Path | IO[bytes], name: str) -> ImageFile:
    """The images that have pixels with rows and columns; others, e.g. lifetimes, are left out."""
    opened = extras.load("liffile", extra="readers").LifFile(file)
    try:
        images = [image for image in opened.images if not image.is_flim and {"Y", "X"} <= set(image.sizes)]
        if not images:
            msg = f"{name} holds no image with rows and columns; export one from LAS X as OME-TIFF."
            raise InputError(msg)
        scenes = tuple(_scene(image, opened.filehandle, name) for image in images)
    except BaseException:
        opened.close()
        raise
    return ImageFile(scenes, opened.close, 0 if len(scenes) == 1 else None)


def _scene(image: Any, handle: Any, path: str) -> Scene:
    sizes = {str(axis): int(size) for axis, size in image.sizes.items()}
    letters = _letters(list(sizes))
    axes = "".join(letters.values())
    shape = tuple(sizes.values())
    dtype = np.dtype(image.dtype).newbyteorder("=")
    end = [axis for axis in axes if axis in "YXS"]
    inner = len(end) if axes.endswith("".join(end)) else len(axes)
    planes, held = shape[: len(shape) - inner], shape[len(shape) - inner :]
    whole: list[NDArray[Any]] = []

    def read(index: tuple[int, ...]) -> NDArray[Any]:
        at = dict(zip([axis for axis in axes if axis not in "YX"], index, strict=True))
        if not whole:
            memory.claim(int(image.nbytes), f"{path}, scene {image.name}", "choose fewer planes in LAS X's export")
            whole.append(np.asarray(image.asarray()).reshape((-1, *held)))
        outer = tuple(at[axis] for axis in axes[: len(axes) - inner])
        flat = int(np.ravel_multi_index(outer, planes)) if outer else 0
        page = whole[0][flat]
        plane = page[tuple(slice(None) if axis in "YX" else at[axis] for axis in axes[len(axes) - inner :])]
        return plane if axes.index("Y") < axes.index("X") else plane.T

    return Scene(str(image.path), axes, shape, dtype, read, _channels(image, axes, shape), _spacing(image))


def _letters(dims: list[str]) -> dict[str, str]:
    """One letter per axis; liffile calls a second axis of channels C1."""
    free = iter("QRUVW")
    return {dim: dim if len(dim) == 1 else next(free) for dim in dims}


def _channels(image: Any, axes: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The names of the dyes, where each channel has one; else of the lookup tables."""
    if "S" in axes:
        return ("red", "green", "blue", "alpha")[: shape[axes.index("S")]]
    found: list[str] = []
    for channel in image.xml_element.findall(".//ImageDescription/Channels/ChannelDescription"):
        named = {
            str(one.findtext("Key")): str(one.findtext("Value") or "") for one in channel.findall("ChannelProperty")
        }
        found.append(
            (named.get("DyeName") or channel.get("NameOfMeasuredQuantity") or channel.get("LUTName") or "").strip()
        )
    count = shape[axes.index("C")] if "C" in axes else 1
    return tuple(found) if len(found) == count and all(found) else ()


def _spacing(image: Any) -> Spacing:
    steps: dict[str, float] = {}
    for axis, coordinates in image.coords.items():
        if axis in "YXZT" and len(coordinates) > 1:
            steps[axis] = abs(float(coordinates[1]) - float(coordinates[0]))
    y, x, z = (micrometres(steps.get(axis), "m") for axis in "YXZ")
    return Spacing(y, x, z, seconds(steps.get("T"), "s"))
