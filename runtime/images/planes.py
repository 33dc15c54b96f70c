"""Image files -> frames, and masks -> OME-TIFF. The library behind it comes with the extra `io`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..system import atomic, extras
from .files import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .files import ImageFile


@dataclass(frozen=True)
class Plane:
    """One frame (H, W) of a file; `label` tells it from the others of a stack, "" when it is the only one.

    time, focus : its index along T and along Z, 0 where there is no such axis
    """

    frame: NDArray[Any]
    pixel_size_um: float | None
    label: str
    time: int = 0
    focus: int = 0


def read_planes(path: Path, channel: int | None = None) -> list[Plane]:
    """Read all planes (time points, focal planes, pages) of one channel of a PNG, TIFF or OME-TIFF.

    channel : 0-based; needed when the file has several, unless it is a grey image stored as RGB
    Large stacks are mapped from the disk, not read. The frames are as stored: check_frame is still to come.
    InputError when the file is empty, damaged, of another kind, or when the channel is missing or unknown.
    """
    path = Path(path)
    image = read_image(path)
    data, axes = _one_channel(path, image, channel)
    order = [*(i for i, axis in enumerate(axes) if axis not in "YX"), axes.index("Y"), axes.index("X")]
    data, axes = np.transpose(data, order), "".join(axes[i] for i in order)
    return [
        Plane(data[index], image.pixel_size_um, _label(axes, data.shape, index), *_place(axes, index))
        for index in product(*map(range, data.shape[:-2]))
    ]


def write_mask_ome_tiff(path: Path, array: NDArray[Any], pixel_size_um: float | None, axis: str = "T") -> None:
    """Write a mask, labels or a probability map as OME-TIFF, as a whole or not at all.

    array : (H, W), or a stack (N, H, W), whose first axis is `axis`: "T" time or "Z" focus. Labels, int32, become
        uint16, or uint32 where there are numbers over 65,535
    """
    tifffile = extras.load("tifffile", extra="io")
    if array.dtype.kind == "i":
        array = array.astype(np.uint16 if array.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32)
    metadata: dict[str, Any] = {"axes": "YX" if array.ndim == 2 else f"{axis}YX"}
    if pixel_size_um is not None:  # in um, the unit of OME when none is given
        metadata |= {"PhysicalSizeX": pixel_size_um, "PhysicalSizeY": pixel_size_um}
    with atomic.replacing(Path(path)) as partial:
        tifffile.imwrite(partial, array, ome=True, photometric="minisblack", compression="zlib", metadata=metadata)


def _one_channel(path: Path, image: ImageFile, channel: int | None) -> tuple[NDArray[Any], str]:
    """The array without its channel axis, and the letters of the axes that are left."""
    data, axes = image.data, image.axes
    for single in [i for i, axis in enumerate(axes) if axis in "CS" and data.shape[i] == 1][::-1]:
        data, axes = data.squeeze(single), axes[:single] + axes[single + 1 :]
    found = [i for i, axis in enumerate(axes) if axis in "CS"]
    if len(found) > 1 or "Y" not in axes or "X" not in axes:
        msg = f"{path} has the axes {axes} {data.shape}, of which no frame can be made; save it as OME-TIFF."
        raise InputError(msg)
    if not found:
        _check_channel(path, channel or 0, ("",))
        return data, axes
    planes = np.moveaxis(data, found[0], 0)
    names = image.channels if len(image.channels) == len(planes) else ("",) * len(planes)
    if channel is None and axes[found[0]] == "S" and _is_grey(planes):
        channel = 0
    return planes[_check_channel(path, channel, names)], axes[: found[0]] + axes[found[0] + 1 :]


def _is_grey(planes: NDArray[Any]) -> bool:
    return all(np.array_equal(planes[0], plane) for plane in planes[1:3])  # a fourth is transparency


def _check_channel(path: Path, channel: int | None, names: tuple[str, ...]) -> int:
    if channel is not None and 0 <= channel < len(names):
        return channel
    listed = ", ".join(f"{i} {name}".strip() for i, name in enumerate(names))
    wanted = "give one" if channel is None else f"there is no channel {channel}, give one of them"
    msg = f"{path} has {len(names)} channel(s): {listed}; {wanted} with --channel N."
    raise InputError(msg)


def _place(axes: str, index: tuple[int, ...]) -> tuple[int, int]:
    """Index along T and along Z."""
    at = dict(zip(axes, index, strict=False))  # the axes end with Y and X
    return at.get("T", 0), at.get("Z", 0)


def _label(axes: str, shape: tuple[int, ...], index: tuple[int, ...]) -> str:
    """E.g. "t003-z010"; axes of length 1 are left out, and pages without a meaning are "p"."""
    letters = [axis.lower() if axis in "TZ" else "p" for axis in axes]
    parts = zip(letters, shape, index, strict=False)  # the shape ends with Y and X
    return "-".join(f"{letter}{i:03d}" for letter, size, i in parts if size > 1)
