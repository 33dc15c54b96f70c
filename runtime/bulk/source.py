"""What is to be segmented, as a dask array: one channel of an OME-Zarr, or of an image file of any kind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..images import ome_zarr
from ..images.files import open_image
from ..images.ome_zarr import Axis
from ..images.planes import EVERYTHING, MAX, MEAN, PlaneChoice, choose_channel, frame_type, stack_of
from ..system import extras

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Index = tuple[int, ...]  # a plane among the others: its place along all axes but y and x
LARGE = 64 << 20  # bytes of a plane from which its parts are read by themselves, where the format can


@dataclass(frozen=True)
class Source:
    """An image as a dask array (..., H, W), the axes of that array, and the NGFF version it came in.

    generation : differs when the image was written anew, also in place
    """

    array: Any
    axes: tuple[Axis, ...]
    version: str | None
    generation: str = ""

    @property
    def planes(self) -> list[Index]:
        """All planes, in order."""
        shape: tuple[int, ...] = self.array.shape
        return list(np.ndindex(*shape[:-2]))


def open_source(path: Path, choice: PlaneChoice = EVERYTHING, block: int = 2048) -> Source:
    """One channel of an image. InputError when it is none, or when what is chosen is missing or unclear.

    block : side of the parts in pixels in which large planes of files are read
    """
    extras.load("dask.array", extra="dask")
    return _zarr_source(path, choice) if path.is_dir() else _file_source(path, choice, block)


def _zarr_source(path: Path, choice: PlaneChoice) -> Source:
    da, zarr = extras.load("dask.array", extra="dask"), extras.load("zarr", extra="dask")
    image = ome_zarr.open_image(path, choice.scene)
    array = da.from_zarr(zarr.open_array(store=str(image.store), path=image.component, mode="r"))
    axes = list(image.axes)
    names = [axis.name for axis in axes]
    if "c" in names:
        at = names.index("c")
        count = image.shape[at]
        channels = image.channels if len(image.channels) == count else ("",) * count
        array = da.take(array, choose_channel(channels, choice.channel, str(path)), axis=at)
        del axes[at]
    else:
        choose_channel(("",), choice.channel, str(path))
    frames = frame_type(np.dtype(array.dtype), str(path))
    names = [axis.name for axis in axes]
    if "z" in names and choice.z != "all":
        at = names.index("z")
        if choice.z == MAX:
            array = array.max(axis=at)
        elif choice.z == MEAN:
            array, frames = array.mean(axis=at, dtype=np.float64), np.dtype(np.float32)
        else:
            depth = array.shape[at]
            if not isinstance(choice.z, int) or not 0 <= choice.z < depth:
                msg = f"{path} has {depth} planes along Z, and no plane {choice.z}; give --z 0 to {depth - 1}."
                raise InputError(msg)
            array = da.take(array, choice.z, axis=at)
        del axes[at]
    if (um := choice.pixel_size_um) is not None:
        axes[-2:] = [replace(axis, scale=um, unit="micrometer") for axis in axes[-2:]]
    return Source(array.astype(frames), tuple(axes), image.version, _generation(image.store))


def _generation(store: Path) -> str:
    """Of a store: its files with their sizes and times, and what its metadata say."""
    digest = hashlib.sha256()
    for file in sorted(path for path in store.rglob("*") if path.is_file()):
        state = file.stat()
        digest.update(f"{file.relative_to(store)}\0{state.st_size}\0{state.st_mtime_ns}\n".encode(errors="replace"))
        if file.name in ome_zarr.METADATA:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _file_source(path: Path, choice: PlaneChoice, block: int) -> Source:
    """The planes of an image file; workers read the file themselves."""
    dask, da = extras.load("dask", extra="dask"), extras.load("dask.array", extra="dask")
    state = path.stat()
    stamp = f"{state.st_mtime_ns}-{state.st_size}"
    with open_image(path) as image:
        stack = stack_of(image, str(path), choice)
        shape, dtype = stack.scene.frame_shape, stack.dtype
        loops, spacing = {axis: size for axis, size in stack.loops.items() if size > 1}, stack.spacing
        indices = stack.indices
        in_parts = stack.can_read_parts and shape[0] * shape[1] * dtype.itemsize > LARGE
    read = dask.delayed(_read, pure=True)

    def plane(index: Index) -> Any:
        if not in_parts:
            return da.from_delayed(read(path, choice, index, stamp), shape, dtype)
        rows, cols = _spans(shape[0], block), _spans(shape[1], block)
        parts = [
            [
                da.from_delayed(read(path, choice, index, stamp, (row, col)), (row[1] - row[0], col[1] - col[0]), dtype)
                for col in cols
            ]
            for row in rows
        ]
        return da.block(parts)

    names = "".join(loops).lower()
    if not names or set(names) <= {"t", "z"}:
        axes = [_loop_axis(name, spacing.t_s, spacing.z_um) for name in names]
        lengths = list(loops.values())
    else:  # pages without a meaning are taken for time points
        axes, lengths = [Axis("t")], [len(indices)]
    array = da.stack([plane(index) for index in indices]).reshape((*lengths, *shape))
    if names == "zt":  # NGFF wants time first
        array, axes = array.swapaxes(0, 1), axes[::-1]
    sides = [_space(name, um) for name, um in (("y", spacing.y_um), ("x", spacing.x_um))]
    return Source(array, (*axes, *sides), None, stamp)


def _loop_axis(name: str, t_s: float | None, z_um: float | None) -> Axis:
    if name == "z":
        return _space("z", z_um)
    return Axis("t", t_s, "second") if t_s else Axis("t")


def _space(name: str, um: float | None) -> Axis:
    return Axis(name, um, "micrometer") if um else Axis(name)


def _spans(length: int, block: int) -> list[tuple[int, int]]:
    return [(start, min(start + block, length)) for start in range(0, length, block)]


def _read(
    path: Path,
    choice: PlaneChoice,
    index: Index,
    stamp: str,
    part: tuple[tuple[int, int], tuple[int, int]] | None = None,
) -> NDArray[Any]:
    """A plane of a file, or a part of it. `stamp` is when the file was changed: another one is another file."""
    if part is None:
        return _frame_of(path, choice, index, stamp)
    (top, bottom), (left, right) = part
    with open_image(path) as image:
        return stack_of(image, str(path), choice).part(index, slice(top, bottom), slice(left, right))


@lru_cache(maxsize=2)
def _frame_of(path: Path, choice: PlaneChoice, index: Index, stamp: str) -> NDArray[Any]:
    """A worker reads a plane once for the blocks of it that it makes one after the other."""
    with open_image(path) as image:
        return stack_of(image, str(path), choice).frame(index)
