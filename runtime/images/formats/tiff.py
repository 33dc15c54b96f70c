"""TIFF and what is built on it (OME-TIFF, ImageJ, qptiff, SVS, LSM, STK, ...) by tifffile (extra `io`).

A file that is cut short is refused: tifffile alone would hand over the pages that are left, and say so in its log,
which belongs to the whole process. So the chain of pages is followed here before.
"""

# The libraries that are called here have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ...errors import InputError
from ...system import extras, memory
from ..scene import ImageFile, Scene, Spacing, micrometres, number, seconds, unique_axes
from . import ome_xml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from numpy.typing import NDArray

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
PRINTING_UM = 20.0  # a pixel this wide comes from the 72 to 600 dpi that desktop programs write, not a microscope
MOST_PAGES = 1 << 22
DENSEST = 40_000  # pixels that a codec makes of one stored byte at most; ZSTD comes near, for constant images
SLIDES = ("qpi", "svs", "ndpi", "scn", "bif", "philips")  # their first series is the scan, others show the slide
LABEL_MAPS = ("TissueClassMap", "SegmentationImage")  # inForm's segmentation maps
HAMAMATSU = 65420  # a tag of NDPI, whose offsets are longer than a TIFF's
TAG_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
COLOURS = ("red", "green", "blue", "alpha")


def open_scenes(file: Path | IO[bytes], name: str) -> ImageFile:
    """The scenes of a TIFF: its series, without thumbnails and reduced levels."""
    _check_chain(file)
    tifffile = extras.load("tifffile", extra="io")
    opened = tifffile.TiffFile(file)
    try:
        if better := ome_xml.mended(_description(opened)) if _claims_ome(opened) else None:
            opened.close()
            opened = tifffile.TiffFile(_rewound(file), omexml=better)
        notes: tuple[str, ...] = ()
        if opened.is_ome and (reason := _lacks(opened)):
            opened.close()
            opened = tifffile.TiffFile(_rewound(file), is_ome=False)
            notes = (reason,)
        return _scenes(opened, name, notes)
    except BaseException:
        opened.close()
        raise


def _scenes(file: Any, name: str, notes: tuple[str, ...]) -> ImageFile:
    series = list(file.series)
    images = _ome_images(file)
    if series[0].kind in SLIDES:
        series = series[:1]
    unnamed = len(images) == len(series) > 1
    scenes = [_scene(file, one, images[k] if len(images) > k else None, name, notes) for k, one in enumerate(series)]
    if unnamed or len(scenes) == 1:
        return ImageFile(tuple(scenes), file.close, 0 if len(scenes) == 1 else None)
    more = f"only the first of {len(scenes)} images is read; choose another with --scene"
    return ImageFile((replace(scenes[0], notes=(*scenes[0].notes, more)), *scenes[1:]), file.close)


def _scene(file: Any, series: Any, image: ome_xml.OmeImage | None, name: str, notes: tuple[str, ...]) -> Scene:
    level = series.levels[0]
    axes = unique_axes(str(level.axes))
    shape = tuple(map(int, level.shape))
    if "Y" not in axes or "X" not in axes:
        msg = f"{name} has the axes {axes} {shape}, of which no frame can be made; save it as OME-TIFF."
        raise InputError(msg)
    imagej: dict[str, Any] = file.imagej_metadata or {}
    keyframe = level.keyframe
    if "S" in axes and "C" not in axes and imagej.get("mode") in ("composite", "color", "grayscale"):
        axes = axes.replace("S", "C")  # channels of a hyperstack that were stored as colours
    pages = _Pages(file, level, axes, shape, name)
    if image is not None and image.size != (shape[axes.index("X")], shape[axes.index("Y")]):
        image = None  # it describes something else
    channels = _channels(file, level, axes, shape, image)
    if _root(keyframe.description) in LABEL_MAPS:
        notes = (*notes, "its pages are label maps, not intensities")
    dtype = np.dtype(level.dtype).newbyteorder("=")
    spacing = _spacing(file, level, image)
    return Scene(series.name or "", axes, shape, dtype, pages.read, channels, spacing, notes, pages.region)


class _Pages:
    """The planes of a series: each is read when it is asked for, the last decoded page is kept for its samples."""

    def __init__(self, file: Any, level: Any, axes: str, shape: tuple[int, ...], name: str) -> None:
        self._file, self._level, self._name = file, level, name
        page = tuple(map(int, level.keyframe.shape))
        while page and len(page) > 2 and page != shape[len(shape) - len(page) :]:
            page = page[1:] if page[0] == 1 else page[:-1] if page[-1] == 1 else ()
        inner = len(page) if page and page == shape[len(shape) - len(page) :] else len(shape)
        if "Y" not in axes[len(axes) - inner :] or "X" not in axes[len(axes) - inner :]:
            inner = len(shape)
        self._outer, self._inner = shape[: len(shape) - inner], shape[len(shape) - inner :]
        self._axes = axes[len(axes) - inner :]
        self._loops = axes[: len(axes) - inner]
        self._order = [axis for axis in axes if axis not in "YX"]
        self._all = axes
        self._array: Any = None
        self._kept: tuple[int, NDArray[Any]] | None = None
        self._check()

    def _check(self) -> None:
        level, pages = self._level, list(self._level.pages)
        self._by_page = len(pages) == math.prod(self._outer)
        stored = 0
        for number_, page in enumerate(pages):
            if page is None:
                msg = f"page {number_} is missing"
                raise ValueError(msg)
            if page.parent is self._file:
                end = max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
                if end > self._file.filehandle.size:
                    msg = f"page {number_} ends at byte {end}, the file at {self._file.filehandle.size}"
                    raise ValueError(msg)
            stored += sum(page.databytecounts)
        claimed = int(level.nbytes)
        if level.dataoffset is not None and level.dataoffset + claimed > (size := self._file.filehandle.size):
            msg = f"its pixels end at byte {level.dataoffset + claimed}, the file at {size}"
            raise ValueError(msg)
        if level.dataoffset is None and claimed > DENSEST * max(1, stored):
            msg = f"it claims {claimed} bytes of pixels, and holds {stored}"
            raise ValueError(msg)

    def read(self, index: tuple[int, ...]) -> NDArray[Any]:
        """One plane (H, W)."""
        at = dict(zip(self._order, index, strict=True))
        outer = tuple(at[axis] for axis in self._loops)
        flat = int(np.ravel_multi_index(outer, self._outer)) if outer else 0
        whole = self._page(flat)
        inner = tuple(slice(None) if axis in "YX" else at[axis] for axis in self._axes)
        plane = whole[inner]
        return plane if self._axes.index("Y") < self._axes.index("X") else plane.T

    def region(self, index: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        """Some rows and columns of a plane; only their tiles or strips are decoded. Needs zarr (extra `dask`)."""
        if self._array is None:
            self._array = extras.load("zarr", extra="dask").open_array(store=self._level.aszarr(), mode="r")
        at = {**dict(zip(self._order, index, strict=True)), "Y": rows, "X": cols}
        part = np.asarray(self._array[tuple(at[axis] for axis in self._all)])
        return part if self._all.index("Y") < self._all.index("X") else part.T

    def _page(self, flat: int) -> NDArray[Any]:
        if self._kept is not None and self._kept[0] == flat:
            return self._kept[1]
        self._kept = None
        dtype = np.dtype(self._level.dtype)
        count = math.prod(self._inner)
        offset = self._level.dataoffset
        whole = not self._by_page and offset is None
        size = int(self._level.nbytes) if whole else count * dtype.itemsize
        memory.claim(size, f"A plane of {self._name} ({' x '.join(map(str, self._inner))})")
        if offset is not None:  # one block of pixels, as they are
            stored = dtype.newbyteorder(self._file.byteorder)
            handle = self._file.filehandle
            handle.seek(offset + flat * count * stored.itemsize)
            data = handle.read_array(stored, count)
            if data.size < count:
                msg = f"plane {flat} ends early"
                raise ValueError(msg)
        elif self._by_page:
            data = self._level.pages[flat].asarray()
        else:
            data = self._level.asarray().reshape((-1, *self._inner))[flat]
        page = np.asarray(data).reshape(self._inner)
        self._kept = flat, page
        return page


# What a file says about itself


def _claims_ome(file: Any) -> bool:
    return _description(file).lstrip()[:500].find("<OME") >= 0 or bool(file.is_ome)


def _description(file: Any) -> str:
    try:
        return str(file.pages[0].description or "")
    except IndexError:
        msg = "it holds no page"
        raise ValueError(msg) from None


def _lacks(file: Any) -> str | None:
    """Which of the planes that OME-XML promises this file does not hold; None when all are here."""
    images = _ome_images(file)
    for image, series in zip(images, file.series, strict=False):
        pages = series.levels[0].pages
        held = sum(page is not None for page in pages)
        if held < len(pages) or series.kind != "ome":
            held = min(held, len(file.pages))
            return (
                f"its OME-XML promises {image.planes} planes of {image.size[1]}x{image.size[0]}, "
                f"and it holds {held} of {'x'.join(map(str, file.pages[0].shape))}: these are read without it"
            )
    return None


def _ome_images(file: Any) -> list[ome_xml.OmeImage]:
    text = file.ome_metadata or (_description(file) if _claims_ome(file) else "")
    return ome_xml.images_of(text) if text else []


def _channels(
    file: Any, level: Any, axes: str, shape: tuple[int, ...], image: ome_xml.OmeImage | None
) -> tuple[str, ...]:
    if "C" in axes:
        count = shape[axes.index("C")]
        if image is not None and len(image.channels) == count:
            return image.channels
        if level.kind == "qpi":
            names = tuple(_tag(page.description, "Name") for page in level.pages)
            return names if len(names) == count and all(names) else ()
        labels: Any = (file.imagej_metadata or {}).get("Labels") or ()
        return tuple(map(str, labels)) if len(labels) == count == math.prod(shape[: -2 or None]) else ()
    if "S" in axes and level.keyframe.photometric.name in ("RGB", "YCBCR", "CIELAB"):
        return COLOURS[: shape[axes.index("S")]]
    if image is not None and "S" not in axes and len(image.channels) == 1:
        return image.channels
    return ()


def _spacing(file: Any, level: Any, image: ome_xml.OmeImage | None) -> Spacing:
    if _claims_ome(file):
        return image.spacing if image is not None else Spacing()
    keyframe = level.keyframe
    tagged = _by_tags(keyframe)
    if file.is_imagej:
        imagej: dict[str, Any] = file.imagej_metadata or {}
        unit = str(imagej.get("unit", ""))
        sides = {axis: micrometres(_per(keyframe, tag), imagej.get(f"{axis}unit", unit)) for axis, tag in _SIDES}
        if any(size is not None and size >= PRINTING_UM for size in sides.values()) and "in" in unit:
            sides = dict.fromkeys(sides)
        if sides["x"] or sides["y"]:
            z_um = micrometres(imagej.get("spacing"), imagej.get("zunit", unit))
            return Spacing(sides["y"], sides["x"], z_um, seconds(imagej.get("finterval"), imagej.get("tunit", "s")))
        return tagged
    if file.is_lsm and (lsm := file.lsm_metadata):
        y, x, z = (micrometres(lsm.get(f"VoxelSize{axis}"), "m") for axis in "YXZ")
        return Spacing(y, x, z, seconds(lsm.get("TimeIntervall"), "s"))
    if file.is_svs:
        match = re.search(r"\bMPP\s*=\s*([\d.,]+)", keyframe.description)
        um = micrometres(match[1], "um") if match else None
        return Spacing(um, um) if um else tagged
    if file.is_stk and (stk := file.stk_metadata):
        unit = str(stk.get("CalibrationUnits", ""))
        y, x = (micrometres(stk.get(f"{axis}Calibration"), unit) for axis in "YX")
        return Spacing(y, x) if x else tagged
    if file.is_micromanager and (manager := file.micromanager_metadata):
        um = micrometres((manager.get("Summary") or {}).get("PixelSize_um"), "um")
        return Spacing(um, um) if um else tagged
    return tagged


_SIDES = (("y", "YResolution"), ("x", "XResolution"))


def _by_tags(page: Any) -> Spacing:
    """By the tags for printers, where they are fine enough to be a microscope's."""
    unit = {2: "inch", 3: "cm"}.get(int(page.resolutionunit))
    y, x = (micrometres(_per(page, tag), unit) for _, tag in _SIDES)
    fine = all(size is not None and size < PRINTING_UM for size in (y, x))
    return Spacing(y, x) if fine else Spacing()


def _per(page: Any, tag: str) -> float | None:
    """Units a pixel."""
    value = page.tags[tag].value if tag in page.tags else None
    pair: Sequence[Any] = value if isinstance(value, tuple) else ()
    if len(pair) != 2 or not pair[0] or not pair[1]:
        return None
    return number(pair[1] / pair[0])


def _root(xml: str) -> str:
    match = re.search(r"<([A-Za-z][\w-]*)", xml[:2000].partition("?>")[2] or xml[:2000])
    return match[1] if match else ""


def _tag(xml: str, name: str) -> str:
    """The text of the first child of that name of the root; "" where there is none."""
    if ome_xml.DOCTYPE.search(xml):
        return ""
    try:
        return (ElementTree.fromstring(xml).findtext(name) or "").strip()
    except ElementTree.ParseError:
        return ""


# The chain of pages


def _check_chain(file: Path | IO[bytes]) -> None:
    """ValueError where the chain of pages leaves the file, turns back, or holds a page that does."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            _follow(opened)
    else:
        _follow(_rewound(file))
        file.seek(0)


def _follow(file: IO[bytes]) -> None:
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(16)
    order = "<" if start[:2] == b"II" else ">"
    big = start[2:4] in (b"+\0", b"\0+")
    offset_form, count_form, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    offset = _unpack(order + offset_form, start[8:] if big else start[4:])
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) >= MOST_PAGES:
            msg = f"its chain of pages turns back to byte {offset}"
            raise ValueError(msg)
        if offset >= size:
            if not seen or not _is_ndpi(file, order, min(seen)):
                msg = f"page {len(seen)} would begin at byte {offset}, the file ends at {size}"
                raise ValueError(msg)
            return
        seen.add(offset)
        file.seek(offset)
        count = _unpack(order + count_form, file.read(struct.calcsize(count_form)))
        _check_tags(file.read(count * entry), order, big, size, len(seen) - 1)
        offset = _unpack(order + offset_form, file.read(struct.calcsize(offset_form)))


def _check_tags(entries: bytes, order: str, big: bool, size: int, page: int) -> None:
    """ValueError where a value of a tag lies beyond the end of the file: tifffile would leave the tag out."""
    entry, form, inline = (20, "HHQQ", 8) if big else (12, "HHII", 4)
    tags = list(struct.iter_unpack(order + form, entries[: len(entries) // entry * entry]))
    if any(code == HAMAMATSU for code, *_ in tags):
        return
    for code, type_, count, value in tags:
        length = TAG_SIZES.get(type_, 0) * count
        if length > inline and value + length > size:
            msg = f"tag {code} of page {page} ends at byte {value + length}, the file at {size}"
            raise ValueError(msg)


def _is_ndpi(file: IO[bytes], order: str, offset: int) -> bool:
    """Whether the file is Hamamatsu's, whose offsets are longer than a TIFF's."""
    file.seek(offset)
    count = _unpack(order + "H", file.read(2))
    entries = file.read(12 * min(count, 4096))
    return any(entries[k : k + 2] == struct.pack(order + "H", HAMAMATSU) for k in range(0, len(entries), 12))


def _unpack(form: str, data: bytes) -> int:
    try:
        return int(struct.unpack(form, data[: struct.calcsize(form)])[0])
    except struct.error:
        msg = "its directory of pages ends early"
        raise ValueError(msg) from None


def _rewound(file: Any) -> Any:
    if not isinstance(file, Path):
        file.seek(0)
    return file
