"""OME-Zarr images (NGFF 0.4 and 0.5): the full resolution in, masks and labels out, with axes and pixel sizes kept.

zarr is imported on call (extra `dask`). What is no OME-Zarr but a bare array is read too, without a pixel size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..system import extras
from .files import UNITS_UM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

VERSIONS = ("0.4", "0.5")  # on zarr format 2 and 3
TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
NGFF_UNITS_UM = {
    **UNITS_UM,
    **{"angstrom": 1e-4, "picometer": 1e-6, "nanometer": 1e-3, "micrometer": 1.0},
    **{"millimeter": 1e3, "centimeter": 1e4, "meter": 1e6},
}


@dataclass(frozen=True)
class Axis:
    """One axis: `name` t, c, z, y or x; `scale` is the step from one index to the next, in `unit`."""

    name: str
    scale: float = 1.0
    unit: str | None = None


@dataclass(frozen=True)
class ZarrImage:
    """The full resolution of an image: where its array lies, and what its axes mean.

    store : the folder of the zarr store; component : the array's path in it
    axes : one for each axis of the array, the last two are y and x
    version : of NGFF; the newest where the array is a bare one
    """

    store: Path
    component: str
    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    version: str = VERSIONS[-1]

    @property
    def pixel_size_um(self) -> float | None:
        """Side of a pixel along x; None where the unit is not said."""
        return size_um(self.axes[-1])


def size_um(axis: Axis) -> float | None:
    """An axis' step in micrometres, or None."""
    factor = NGFF_UNITS_UM.get(axis.unit or "")
    size = axis.scale * factor if factor else None
    return size if size is not None and math.isfinite(size) and size > 0 else None


def open_image(path: Path) -> ZarrImage:
    """Find the full resolution of an OME-Zarr; InputError when there is none, or its axes are not understood.

    path : a store, a group in it, or an array; of the several images of a bioformats2raw layout the first is taken
    """
    zarr = extras.load("zarr", extra="dask")
    if not path.is_dir():
        msg = f"{path} is no folder, and so no OME-Zarr; give the folder that holds zarr.json or .zattrs."
        raise InputError(msg)
    try:
        node: Any = zarr.open(str(path), mode="r")
        attributes: dict[str, Any] = node.attrs.asdict()
        ome = attributes.get("ome", attributes)
        if "multiscales" not in ome and ome.get("bioformats2raw.layout"):
            return open_image(path / "0")
        if isinstance(node, zarr.Array):
            return _bare(path, node)
        return _multiscale(path, node, ome)
    except (ValueError, KeyError, TypeError, FileNotFoundError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        msg = f"{path} is no OME-Zarr that can be read ({type(error).__name__}: {error})."
        raise InputError(msg) from error


def _multiscale(path: Path, group: Any, ome: Mapping[str, Any]) -> ZarrImage:
    if not ome.get("multiscales"):
        msg = f"{path} is a zarr group without `multiscales`; give the group of the image itself: {_children(group)}."
        raise InputError(msg)
    first = ome["multiscales"][0]
    version = str(ome.get("version") or first.get("version") or "0.4")
    if version not in VERSIONS:
        msg = f"{path} is OME-Zarr {version}; this version reads {' and '.join(VERSIONS)}: convert it."
        raise InputError(msg)
    dataset = first["datasets"][0]
    array = group[dataset["path"]]
    declared: list[dict[str, Any]] = first["axes"]
    names = [str(axis["name"]).lower() for axis in declared]
    scales = [a * b for a, b in zip(_scale(dataset, len(names)), _scale(first, len(names)), strict=True)]
    units = [axis.get("unit") for axis in declared]
    axes = tuple(Axis(*of) for of in zip(names, scales, units, strict=True))
    _check_axes(path, names, array.shape)
    return ZarrImage(path, str(dataset["path"]), axes, tuple(array.shape), array.dtype, version)


def _bare(path: Path, array: Any) -> ZarrImage:
    """An array that says no more than its own metadata: its dimension names, or else t, z, y, x from the end."""
    named: tuple[str | None, ...] = getattr(array.metadata, "dimension_names", None) or ()
    names = [str(name).lower() for name in named] if all(named) and named else list("tzyx"[-array.ndim :])
    _check_axes(path, names, array.shape)
    return ZarrImage(path, "", tuple(Axis(name) for name in names), tuple(array.shape), array.dtype)


def _scale(of: Mapping[str, Any], count: int) -> list[float]:
    for transformation in of.get("coordinateTransformations", ()):
        if transformation.get("type") == "scale":
            return [float(value) for value in transformation["scale"]]
    return [1.0] * count


def _check_axes(path: Path, names: list[str], shape: tuple[int, ...]) -> None:
    fits = len(names) == len(shape) and set(names) <= set(TYPES) and len(set(names)) == len(names)
    if not fits or names[-2:] != ["y", "x"]:
        msg = f"{path} has the axes {names} {shape}; they must be of t, c, z, y, x, and the last two y and x."
        raise InputError(msg)


def _children(group: Any) -> str:
    names = sorted(name for name, _ in group.members())
    return ", ".join(names[:8]) or "it is empty"


# Writing


@dataclass(frozen=True)
class ImageLayout:
    """How arrays are written: NGFF `version`, `axes` and `shape` of the full resolution, `chunk` along y and x."""

    version: str
    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    chunk: int

    @property
    def zarr_format(self) -> int:
        """2 or 3."""
        return 2 if self.version == "0.4" else 3

    def level(self, number: int) -> ImageLayout:
        """The same image with every 2**number-th row and column."""
        step = 2**number
        shape = (*self.shape[:-2], *(-(-side // step) for side in self.shape[-2:]))
        return replace(self, shape=shape)

    @property
    def levels(self) -> int:
        """How many resolutions a viewer needs: the smallest fits into one chunk."""
        return 1 + max(0, math.ceil(math.log2(max(self.shape[-2:]) / self.chunk)))


def create_array(store: Path, component: str, layout: ImageLayout, dtype: str) -> Any:
    """Make an empty array, or open the one that is there; chunks are one plane deep."""
    zarr = extras.load("zarr", extra="dask")
    chunks = (1,) * (len(layout.shape) - 2) + tuple(min(layout.chunk, side) for side in layout.shape[-2:])
    if _is_array(store / component):
        return zarr.open_array(store=str(store), path=component, mode="r+")
    by_format: dict[str, Any] = (
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        if layout.zarr_format == 2
        else {"dimension_names": [axis.name for axis in layout.axes]}
    )
    return zarr.create_array(
        store=str(store),
        name=component,
        shape=layout.shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=0,
        zarr_format=layout.zarr_format,
        **by_format,
    )


def _is_array(path: Path) -> bool:
    return (path / ".zarray").is_file() or (path / "zarr.json").is_file()


def write_image_metadata(store: Path, component: str, layout: ImageLayout, name: str, more: Mapping[str, Any]) -> None:
    """Describe the arrays COMPONENT/0, COMPONENT/1, ... as one image; `more` stands beside its multiscales.

    A level k holds every 2**k-th row and column, so its pixels keep their place and no translation is needed.
    """
    axes = [{"name": a.name, "type": TYPES[a.name], **({"unit": a.unit} if a.unit else {})} for a in layout.axes]
    datasets = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": _steps(layout, k)}]}
        for k in range(layout.levels)
    ]
    multiscale: dict[str, Any] = {"name": name, "axes": axes, "datasets": datasets, "type": "nearest"}
    if layout.version == "0.4":
        multiscale["version"] = layout.version
    write_group(store, component, layout, {"multiscales": [multiscale], **more})


def read_attributes(store: Path) -> dict[str, Any]:
    """The attributes at the root of a store; none when it is no zarr store."""
    zarr = extras.load("zarr", extra="dask")
    try:
        return dict(zarr.open_group(str(store), mode="r").attrs)
    except (ValueError, FileNotFoundError):
        return {}


def write_attributes(store: Path, attributes: Mapping[str, Any]) -> None:
    """Add attributes at the root of a store."""
    extras.load("zarr", extra="dask").open_group(str(store), mode="r+").attrs.update(dict(attributes))


def write_group(store: Path, component: str, layout: ImageLayout, ome: Mapping[str, Any]) -> None:
    """Make a group and add NGFF metadata to it, where the version wants it."""
    zarr = extras.load("zarr", extra="dask")
    group = zarr.open_group(store=str(store), path=component, mode="a", zarr_format=layout.zarr_format)
    if layout.version == "0.4":
        group.attrs.update(dict(ome))
    else:
        group.attrs.update({"ome": {"version": layout.version, **ome}})


def _steps(layout: ImageLayout, level: int) -> list[float]:
    return [axis.scale * (2**level if axis.name in "yx" else 1) for axis in layout.axes]
