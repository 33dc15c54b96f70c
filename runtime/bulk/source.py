"""What is to be segmented, as a dask array: one channel of an OME-Zarr, a TIFF or a PNG."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..images import ome_zarr
from ..images.ome_zarr import Axis
from ..images.planes import read_planes
from ..system import extras

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..images.planes import Plane

Index = tuple[int, ...]  # a plane among the others: its place along all axes but y and x


@dataclass(frozen=True)
class Source:
    """An image as a dask array (..., H, W), the axes of that array, and the NGFF version it came in."""

    array: Any
    axes: tuple[Axis, ...]
    version: str | None

    @property
    def planes(self) -> list[Index]:
        """All planes, in order."""
        shape: tuple[int, ...] = self.array.shape
        return list(np.ndindex(*shape[:-2]))


def open_source(path: Path, channel: int | None = None) -> Source:
    """One channel of an image. InputError when it is none, or has several channels and none was chosen."""
    da = extras.load("dask.array", extra="dask")
    if not path.is_dir():
        return _file_source(path, channel)
    image = ome_zarr.open_image(path)
    zarr = extras.load("zarr", extra="dask")
    array = da.from_zarr(zarr.open_array(store=str(image.store), path=image.component, mode="r"))
    names = [axis.name for axis in image.axes]
    if "c" in names:
        at, count = names.index("c"), image.shape[names.index("c")]
        if channel is None and count > 1:
            msg = f"{path} has {count} channels; give one of 0 to {count - 1} with --channel N."
            raise InputError(msg)
        if not 0 <= (channel or 0) < count:
            msg = f"{path} has {count} channel(s), and no channel {channel}; give one of 0 to {count - 1}."
            raise InputError(msg)
        array = da.take(array, channel or 0, axis=at)
    elif channel:
        msg = f"{path} has no channel axis, and so no channel {channel}; leave --channel out."
        raise InputError(msg)
    return Source(array, tuple(axis for axis in image.axes if axis.name != "c"), image.version)


def _file_source(path: Path, channel: int | None) -> Source:
    """The planes of an image file; workers read the file themselves."""
    dask, da = extras.load("dask", extra="dask"), extras.load("dask.array", extra="dask")
    planes = read_planes(path, channel)
    um, shape, dtype = planes[0].pixel_size_um, planes[0].frame.shape, planes[0].frame.dtype
    read = dask.delayed(_read_plane, pure=True)
    stamp = path.stat().st_mtime_ns
    arrays = [da.from_delayed(read(path, channel, k, stamp), shape, dtype) for k in _in_order(planes)]
    size = Axis("y", um or 1.0, "micrometer" if um else None), Axis("x", um or 1.0, "micrometer" if um else None)
    lengths = _lengths(planes)
    array = da.stack(arrays).reshape((*lengths.values(), *shape))
    return Source(array, (*(Axis(name) for name in lengths), *size), None)


def _in_order(planes: list[Plane]) -> list[int]:
    return sorted(range(len(planes)), key=lambda k: (planes[k].time, planes[k].focus, k))


def _lengths(planes: list[Plane]) -> dict[str, int]:
    """Lengths of the axes t and z, as far as there are any; pages without a meaning are taken for time points."""
    times, depths = max(p.time for p in planes) + 1, max(p.focus for p in planes) + 1
    if times * depths != len(planes):
        return {"t": len(planes)}
    return {name: size for name, size in (("t", times), ("z", depths)) if size > 1}


def _read_plane(path: Path, channel: int | None, number: int, stamp: int) -> NDArray[Any]:
    return _planes_of(path, channel, stamp)[number].frame


@lru_cache(maxsize=2)
def _planes_of(path: Path, channel: int | None, stamp: int) -> list[Plane]:
    """A worker reads a file once. `stamp` is when the file was changed: another one is another file."""
    return read_planes(path, channel)
