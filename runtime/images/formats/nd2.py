"""Nikon ND2 by nd2 (extra `readers`). Positions are scenes."""

# The libraries that are called here have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ...system import extras, memory
from ..scene import ImageFile, Scene, Spacing, number, seconds

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

MAGICS = (b"\xda\xce\xbe\n", b"\0\0\0\x0cjP  ")  # the second is of before 2007


def open_scenes(file: Path | IO[bytes], name: str) -> ImageFile:
    """Each position of the file is a scene."""
    opened = extras.load("nd2", extra="readers").ND2File(file)
    try:
        sizes = {str(axis): int(size) for axis, size in opened.sizes.items()}
        positions = sizes.get("P", 1)
        names = _positions(opened, positions)
        scenes = tuple(_scene(opened, sizes, position, names[position], name) for position in range(positions))
    except BaseException:
        opened.close()
        raise
    return ImageFile(scenes, opened.close, 0 if positions == 1 else None)


def _scene(file: Any, sizes: dict[str, int], position: int, name: str, path: str) -> Scene:
    frame = [axis for axis in sizes if axis in "CYXS"]
    loops = [axis for axis in sizes if axis not in "CYXS"]
    axes = [axis for axis in sizes if axis != "P"]
    dtype = np.dtype(file.dtype)
    size = dtype.itemsize * int(np.prod([sizes[axis] for axis in frame]))

    def read(index: tuple[int, ...]) -> NDArray[Any]:
        at = {**dict(zip([axis for axis in axes if axis not in "YX"], index, strict=True)), "P": position}
        where = tuple(at[axis] for axis in loops)
        number_ = int(np.ravel_multi_index(where, tuple(sizes[axis] for axis in loops))) if loops else 0
        memory.claim(2 * size, f"A frame of {path}")
        data = np.asarray(file.read_frame(number_)).reshape(tuple(sizes[axis] for axis in frame))
        return np.array(data[tuple(slice(None) if axis in "YX" else at[axis] for axis in frame)])

    metadata = file.metadata
    channels = tuple(str(of.channel.name) for of in (getattr(metadata, "channels", None) or ()))
    if "S" in sizes:
        channels = ("red", "green", "blue", "alpha")[: sizes["S"]]
    elif len(channels) != sizes.get("C", 1):
        channels = ()
    shape = tuple(sizes[axis] for axis in axes)
    return Scene(name, "".join(axes), shape, dtype, read, channels, _spacing(file, sizes))


def _spacing(file: Any, sizes: dict[str, int]) -> Spacing:
    y = x = z = None
    with suppress(AttributeError, IndexError, TypeError, NotImplementedError):
        volume = file.metadata.channels[0].volume
        given = tuple(volume.axesCalibrated)
        x, y, z = (number(um) if is_given else None for um, is_given in zip(volume.axesCalibration, given, strict=True))
    return Spacing(y or None, x or None, (z or None) if "Z" in sizes else None, _interval(file))


def _interval(file: Any) -> float | None:
    """Seconds from one time point to the next: as stated, or else the mean difference."""
    for loop in file.experiment or ():
        parameters = loop.parameters
        for phase in getattr(parameters, "periods", None) or (parameters,):
            period = getattr(phase, "periodMs", None) or getattr(getattr(phase, "periodDiff", None), "avg", None)
            if period:
                return seconds(period, "ms")
    return None


def _positions(file: Any, count: int) -> list[str]:
    names = [""] * count
    for loop in file.experiment or ():
        points = getattr(loop.parameters, "points", None)
        if points is not None and len(points) == count:
            names = [str(point.name or "") for point in points]
    return names
