"""OME-Zarr images (NGFF 0.4 and 0.5): the full resolution in, masks and labels out, with axes and pixel sizes kept.

zarr is imported on call (extras `readers` and `dask`). What is no OME-Zarr but a bare array is read too, without a
pixel size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..system import extras
from .scene import Spacing, micrometres

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

VERSIONS = ("0.4", "0.5")  # on zarr format 2 and 3
TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
EXTRA = "readers"
METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


@dataclass(frozen=True)
class Axis:
    """One axis: `name` t, c, z, y or x; `scale` is the step from one index to the next, in `unit`.

    translation : where index 0 is, in `unit`
    """

    name: str
    scale: float = 1.0
    unit: str | None = None
    translation: float = 0.0


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
    channels: tuple[str, ...] = ()

    def is_stored(self) -> bool:
        """Whether any chunk of the array is there; where none is, it holds its fill value everywhere."""
        folder = self.store / self.component
        return any(path.is_file() and path.name not in METADATA for path in folder.rglob("*"))


def size_um(axis: Axis) -> float | None:
    """An axis' step in micrometres, or None."""
    return micrometres(axis.scale, axis.unit)


def pixel_size_um(axes: tuple[Axis, ...]) -> float | None:
    """The side of a square with a pixel's area, or None; the last two axes are y and x."""
    return Spacing(size_um(axes[-2]), size_um(axes[-1])).pixel_size_um


def open_image(path: Path, scene: int | str | None = None) -> ZarrImage:
    """The full resolution of one image; InputError when there is none, several to choose from, or odd axes.

    path : a store, a group in it, or an array
    scene : which image of a plate or of a bioformats2raw layout, from 0, or its path in the store
    """
    images = list_images(path)
    return images[choose_scene(path, tuple(images), scene)]


def choose_scene(path: Path | str, names: Sequence[str], scene: int | str | None, default: int | None = None) -> str:
    """The name of the scene that is asked for; InputError where there is none such, or several and none was chosen."""
    if scene is None and (len(names) == 1 or default is not None):
        return names[default or 0]
    if isinstance(scene, int) and 0 <= scene < len(names):
        return names[scene]
    if isinstance(scene, str) and names.count(scene) == 1:
        return scene
    listed = ", ".join(f"{number} {name}".strip() for number, name in enumerate(names[:12]))
    more = f", ... {len(names) - 1}" if len(names) > 12 else ""
    asked = "choose one" if scene is None else f"there is no scene {scene}, choose one of them"
    msg = f"{path} holds {len(names)} scene(s): {listed}{more}; {asked} with --scene N."
    raise InputError(msg)


def list_images(path: Path) -> dict[str, ZarrImage]:
    """All images of a store by their path in it ("" is the store itself): of a plate, all fields of its wells.

    InputError when there is none, or its axes are not understood.
    """
    if not path.is_dir():
        msg = f"{path} is no folder, and so no OME-Zarr; give the folder that holds zarr.json or .zattrs."
        raise InputError(msg)
    if not any((path / name).is_file() for name in METADATA):
        msg = f"{path} is a folder, but no OME-Zarr (it holds no zarr.json, .zattrs or .zgroup); give an image file."
        raise InputError(msg)
    zarr = extras.load("zarr", extra=EXTRA)
    try:
        node: Any = zarr.open(str(path), mode="r")
        attributes: dict[str, Any] = node.attrs.asdict()
        ome = attributes.get("ome", attributes)
        if isinstance(node, zarr.Array):
            return {"": _bare(path, node)}
        inner = [] if "multiscales" in ome else _inner(node, ome)
        if not inner:
            return {"": _multiscale(path, node, ome)}
        return {name: image for name in inner for image in list_images(path / name).values()}
    except InputError:
        raise
    except Exception as error:  # of many kinds: whatever zarr makes of foreign metadata
        msg = f"{path} is no OME-Zarr that can be read ({type(error).__name__}: {error})."
        raise InputError(msg) from error


def _inner(group: Any, ome: Mapping[str, Any]) -> list[str]:
    """The paths of the images in a plate, a well, or a bioformats2raw layout."""
    if "plate" in ome:
        wells = [str(well["path"]) for well in ome["plate"]["wells"]]
        return [f"{well}/{field}" for well in wells for field in _inner(group[well], _ome(group[well]))]
    if "well" in ome:
        return [str(image["path"]) for image in ome["well"]["images"]]
    if ome.get("bioformats2raw.layout"):
        numbers = sorted(int(name) for name, _ in group.members() if name.isdigit())
        return [str(number) for number in numbers]
    return []


def _ome(group: Any) -> Mapping[str, Any]:
    attributes: dict[str, Any] = group.attrs.asdict()
    return attributes.get("ome", attributes)


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
    _check_axes(path, names, array.shape)
    scales, translations = _placed(dataset, len(names))
    more_scales, more_translations = _placed(first, len(names))
    axes = tuple(
        Axis(name, a * b, axis.get("unit"), c * b + d)
        for name, axis, a, b, c, d in zip(
            names, declared, scales, more_scales, translations, more_translations, strict=True
        )
    )
    omero: dict[str, Any] = ome.get("omero") or {}
    shown: list[dict[str, Any]] = omero.get("channels") or []
    channels = tuple(str(channel.get("label") or "") for channel in shown)
    count = array.shape[names.index("c")] if "c" in names else 1
    channels = channels if len(channels) == count and any(channels) else ()
    return ZarrImage(path, str(dataset["path"]), axes, tuple(array.shape), array.dtype, version, channels)


def _bare(path: Path, array: Any) -> ZarrImage:
    """An array that says no more than its own metadata: its dimension names, or else t, z, y, x from the end."""
    named: tuple[str | None, ...] = getattr(array.metadata, "dimension_names", None) or ()
    names = [str(name).lower() for name in named] if all(named) and named else list("tzyx"[-array.ndim :])
    _check_axes(path, names, array.shape)
    return ZarrImage(path, "", tuple(Axis(name) for name in names), tuple(array.shape), array.dtype)


def _placed(of: Mapping[str, Any], count: int) -> tuple[list[float], list[float]]:
    """Scale and translation of each axis."""
    found = {"scale": [1.0] * count, "translation": [0.0] * count}
    for transformation in of.get("coordinateTransformations") or ():
        kind = str(transformation.get("type"))
        if kind in found and kind in transformation:
            found[kind] = [float(value) for value in transformation[kind]]
    return found["scale"], found["translation"]


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
    """Describe the arrays COMPONENT/0, COMPONENT/1, ... as one image; `more` is added next to its multiscales.

    A level k holds every 2**k-th row and column, so its pixels keep their place and no translation is needed.
    """
    axes = [{"name": a.name, "type": TYPES[a.name], **({"unit": a.unit} if a.unit else {})} for a in layout.axes]
    place = [axis.translation for axis in layout.axes]
    moved = [{"type": "translation", "translation": place}] if any(place) else []
    datasets = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": _steps(layout, k)}, *moved]}
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
