"""Zeiss CZI by czifile (extra `readers`): scenes, mosaics put together, the full resolution of pyramids."""

# The libraries that are called here have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ...system import extras, memory
from ..scene import ImageFile, Scene, Spacing, micrometres, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

MAGIC = b"ZISRAWFILE"
LOOPS = "VHIRBTZC"  # views, phases, illuminations, rotations, blocks; times, depths, channels
ZSTD, ZSTD_WITH_HEADER = 5, 6  # what czifile's decoders of 2019 do not know


def open_scenes(file: Path | IO[bytes], name: str) -> ImageFile:
    """Each S of the file is a scene."""
    czifile = extras.load("czifile", extra="readers")
    opened = czifile.CziFile(str(file) if not hasattr(file, "read") else file)
    try:
        blocks: dict[int, list[_Block]] = defaultdict(list)
        for entry in opened.subblock_directory:
            block = _Block(entry)
            if not block.reduced:
                blocks[block.at.get("S", 0)].append(block)
        if not blocks:
            msg = "it holds no pixels"
            raise ValueError(msg)
        xml = opened.metadata()
        root = ElementTree.fromstring(xml) if xml else ElementTree.Element("none")
        scenes = tuple(_scene(f"S{number}", found, root, name, czifile) for number, found in sorted(blocks.items()))
    except BaseException:
        opened.close()
        raise
    return ImageFile(scenes, opened.close, 0 if len(scenes) == 1 else None)


class _Block:
    """One piece of one plane: where it is along every axis, and how large."""

    def __init__(self, entry: Any) -> None:
        self.entry = entry
        self.at = {d.dimension: int(d.start) for d in entry.dimension_entries}
        size = {d.dimension: int(d.size) for d in entry.dimension_entries}
        stored = {d.dimension: int(d.stored_size) for d in entry.dimension_entries}
        self.height, self.width = size.get("Y", 1), size.get("X", 1)
        self.top, self.left = self.at.get("Y", 0), self.at.get("X", 0)
        self.mosaic = self.at.get("M", 0)
        self.reduced = any(size[axis] != stored[axis] for axis in size)


def _scene(name: str, blocks: Sequence[_Block], root: ElementTree.Element, file: str, czifile: Any) -> Scene:
    first = {axis: min(block.at.get(axis, 0) for block in blocks) for axis in LOOPS}
    sizes = {axis: 1 + max(block.at.get(axis, 0) for block in blocks) - first[axis] for axis in LOOPS}
    loops = [axis for axis in LOOPS if sizes[axis] > 1]
    top, left = min(block.top for block in blocks), min(block.left for block in blocks)
    height = max(block.top + block.height for block in blocks) - top
    width = max(block.left + block.width for block in blocks) - left
    planes: dict[tuple[int, ...], list[_Block]] = defaultdict(list)
    for block in sorted(blocks, key=lambda block: block.mosaic):
        planes[tuple(block.at.get(axis, 0) - first[axis] for axis in loops)].append(block)
    types = [np.dtype(block.entry.dtype) for block in blocks]
    samples = max(type_.shape[0] if type_.shape else 1 for type_ in types)
    dtype = np.result_type(*(type_.base for type_ in types)).newbyteorder("=")

    def read(index: tuple[int, ...]) -> NDArray[Any]:
        key, sample = (index[:-1], index[-1]) if samples > 1 else (index, 0)
        memory.claim(2 * height * width * dtype.itemsize * samples, f"A plane of {file} ({height} x {width})")
        plane = np.zeros((height, width), dtype)
        for block in planes.get(tuple(key), ()):
            rows = slice(block.top - top, block.top - top + block.height)
            cols = slice(block.left - left, block.left - left + block.width)
            data = _decoded(block.entry, czifile).reshape(block.height, block.width, -1)
            plane[rows, cols] = data[..., min(sample, data.shape[-1] - 1)]
        return plane

    axes = "".join(loops) + ("YXS" if samples > 1 else "YX")
    shape = (*(sizes[axis] for axis in loops), height, width, *((samples,) if samples > 1 else ()))
    count = sizes["C"]
    names = [element.get("Name", "") for element in root.findall(".//Image/Dimensions/Channels/Channel")]
    channels = tuple(names[first["C"] : first["C"] + count]) if len(names) >= first["C"] + count and any(names) else ()
    holes = len(planes) < np.prod([sizes[axis] for axis in loops], initial=1)
    notes = ("some of its planes are not stored, and read as zeros",) if holes else ()
    if samples > 1:
        channels = ("red", "green", "blue", "alpha")[:samples]
    return Scene(name, axes, shape, dtype, read, channels, _spacing(root), notes)


def _spacing(root: ElementTree.Element) -> Spacing:
    um = {
        distance.get("Id"): micrometres(distance.findtext("Value"), "m")
        for distance in root.findall(".//Scaling/Items/Distance")
    }
    step = root.findtext(".//Image/Dimensions/T/Positions/Interval/Increment")
    return Spacing(um.get("Y"), um.get("X"), um.get("Z"), seconds(step, "s"))


def _decoded(entry: Any, czifile: Any) -> NDArray[Any]:
    """The pixels of a block."""
    segment = entry.data_segment()
    if entry.compression not in (ZSTD, ZSTD_WITH_HEADER):
        if entry.compression not in czifile.czifile.DECOMPRESS:
            msg = f"its compression {entry.compression} is unknown"
            raise ValueError(msg)
        return segment.data(resize=False)
    raw = bytes(segment.data(raw=True))
    decode: Callable[[bytes], bytes] = extras.load("imagecodecs", extra="io").zstd_decode
    type_ = np.dtype(entry.dtype)
    skip, high_low = _zstd_header(raw) if entry.compression == ZSTD_WITH_HEADER else (0, False)
    plain = np.frombuffer(decode(raw[skip:]), np.uint8)
    if high_low:  # all low bytes, and then all high bytes
        plain = np.ascontiguousarray(plain.reshape(2, -1).T).ravel()
    data = plain.view(type_.base).reshape(*(side for side in entry.stored_shape))
    return data[..., ::-1] if type_.shape and type_.shape[0] == 3 else data  # blue, green, red


def _zstd_header(raw: bytes) -> tuple[int, bool]:
    """Bytes to skip, and whether bytes of 16-bit values are stored in two runs."""
    size = raw[0]
    return size, size > 1 and raw[1] == 1 and bool(raw[2] & 1)
