"""Multiplexed tissue as it comes out of CODEX and MIBI pipelines: a folder a field, a TIFF a channel.

    FIELD/nucleus.tif, membrane.tif, ...           any other channel by its file's name
    FIELD/cells.tif or cells_WHO.tif, nuclei*.tif  instance labels of whole cells and of nuclei

Several fields are split field by field. One field alone is split in space: its right quarter is for validation, and
between the parts a strip belongs to neither, so that no cell is in both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from distill.datasets.annotations.instances import instances
from distill.datasets.members import Members
from distill.datasets.pictures import TIFF, check_finite, decode, size_of
from distill.datasets.sample import NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import choose
from runtime.errors import InputError
from runtime.images.files import stem_of

LICENCE = "as the user's data"
LAYOUT = "expected FIELD/nucleus.tif, FIELD/membrane.tif and FIELD/cells.tif"
LABELS = ("cells", "nuclei")
VALIDATION = 0.25  # share of a field's width
GUARD = 32  # pixels between the parts of one field
OPTIONS = ("tile", "cells", "nuclei", "um", "licence", "part")


@dataclass(frozen=True)
class FieldPart:
    """A part of a field: rows and columns, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, plane: NDArray) -> NDArray:
        """This part of a plane (H, W), contiguous."""
        part = plane[self.top : self.top + self.height, self.left : self.left + self.width]
        return np.ascontiguousarray(part)


@dataclass(frozen=True)
class Fields:
    """Reads samples by name. channels, labels : of every field, what a plane is called -> its file."""

    members: Members
    channels: Mapping[str, Mapping[str, str]]
    labels: Mapping[str, Mapping[str, str]]
    windows: Mapping[str, tuple[str, FieldPart]]
    pixel_size_um: float | None

    def __call__(self, name: str) -> Sample:
        field, window = self.windows[name]
        files = self.channels[field]
        planes = {channel: window.of(self._plane(file)) for channel, file in files.items()}
        kinds = {plane.dtype for plane in planes.values()}
        common = np.result_type(*kinds)  # a pipeline may store one channel in 8 bit and another in 16
        image = np.stack([plane.astype(common) for plane in planes.values()])
        labels = {kind: self._labels(file, window) for kind, file in self.labels[field].items()}
        return Sample(name, image, tuple(planes), labels, self.pixel_size_um)

    def frames(self, names: Sequence[str]) -> Iterator[NDArray]:
        """The whole nucleus planes of the fields that these samples are parts of."""
        for field in sorted({self.windows[name][0] for name in names}):
            yield self._plane(self.channels[field][NUCLEUS])

    def _plane(self, file: str) -> NDArray:
        plane = decode(self.members.read(file), file)
        if plane.ndim != 2:
            msg = f"{file!r} has shape {plane.shape}; give one channel a file, (H, W)."
            raise InputError(msg)
        if plane.dtype.name not in ("uint8", "uint16", "float32"):
            msg = f"{file!r} is {plane.dtype}; save it as uint8, uint16 or float32."
            raise InputError(msg)
        check_finite(plane, file)
        return plane

    def _labels(self, file: str, window: FieldPart) -> NDArray[np.int32]:
        return instances(window.of(decode(self.members.read(file), file)), file)


def open_multiplex(argument: str, split: str) -> Dataset:
    """argument : "PATH" or "PATH?tile=N&cells=NAME&nuclei=NAME&um=PIXEL&part=val&licence=TEXT".

    tile : training fields are cut into tiles of at most N pixels a side; 0, the default, keeps them whole
    cells, nuclei : which file holds these labels, where a field has several; um : micrometres a pixel
    part : train or val, whatever split is asked for: where a command takes "all" of the data, but must not see the rest
    """
    path, options = _parse(argument)
    members = Members(Path(path).expanduser())
    fields = _fields(members)
    channels = {field: _channels(field, files) for field, files in fields.items()}
    labels = {field: _label_files(field, files, options) for field, files in fields.items()}
    sizes = {field: _size(members, [*channels[field].values(), *labels[field].values()]) for field in fields}
    split = options.get("part", split)
    parts = _parts(sizes, split)
    tile = int(options.get("tile", "0")) if split in ("train", "all") else 0
    windows = {_name(field, part): (field, part) for field, whole in parts.items() for part in _tiles(whole, tile)}
    read = Fields(members, channels, labels, windows, float(options["um"]) if "um" in options else None)
    described = (
        f"{len(fields)} multiplexed field(s) of {members.path.name!r}: {', '.join(next(iter(channels.values())))}"
    )
    return Dataset(tuple(windows), read, options.get("licence", LICENCE), described, origins=read.frames)


def _parse(argument: str) -> tuple[str, dict[str, str]]:
    path, _, query = argument.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key, value in options.items():
        if key not in OPTIONS:
            msg = f"Option {key!r} of the multiplex data is unknown; there are {', '.join(OPTIONS)}."
            raise InputError(msg)
        if key == "tile" and not (value.isdecimal() and (value == "0" or int(value) >= GUARD)):
            msg = f"The tile of the multiplex data is {value!r}; give 0, or at least {GUARD} pixels."
            raise InputError(msg)
        if key == "part" and value not in ("train", "val"):
            msg = f"The part of the multiplex data is {value!r}; give train or val."
            raise InputError(msg)
        if key == "um" and not _is_size(value):
            msg = f"The pixel size of the multiplex data is {value!r}; give micrometres, such as um=0.5."
            raise InputError(msg)
    return path, options


def _is_size(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _fields(members: Members) -> dict[str, dict[str, str]]:
    """Field -> stem -> member. The folder itself is one field where it holds a nucleus.tif."""
    found: dict[str, dict[str, str]] = {}
    for name in members.names:
        path = PurePosixPath(name)
        if path.suffix.lower() in TIFF and len(path.parts) <= 2:
            files = found.setdefault(path.parent.name or members.path.stem, {})
            stem = stem_of(path)
            if stem in files:
                msg = f"{files[stem]!r} and {name!r} have the same stem; rename one of them."
                raise InputError(msg)
            files[stem] = name
    fields = {field: files for field, files in sorted(found.items()) if NUCLEUS in files}
    if not fields:
        msg = f"{str(members.path)!r} holds no field with a {NUCLEUS}.tif; {LAYOUT}."
        raise InputError(msg)
    return fields


def _channels(field: str, files: Mapping[str, str]) -> dict[str, str]:
    """The nucleus first, then the other channels by name."""
    others = sorted(stem for stem in files if stem != NUCLEUS and not stem.startswith(LABELS))
    return {stem: files[stem] for stem in (NUCLEUS, *others)}


def _label_files(field: str, files: Mapping[str, str], options: Mapping[str, str]) -> dict[str, str]:
    chosen = {}
    for kind in LABELS:
        candidates = [stem for stem in files if stem.startswith(kind)]
        wanted = options.get(kind)
        if wanted is not None and wanted not in candidates:
            msg = f"Field {field!r} has no {kind} labels {wanted!r}; it has {', '.join(candidates) or 'none'}."
            raise InputError(msg)
        if wanted is None and len(candidates) > 1:
            msg = f"Field {field!r} has {kind} labels of several: {', '.join(candidates)}; add ?{kind}={candidates[0]}."
            raise InputError(msg)
        if candidates:
            chosen[kind] = files[wanted or candidates[0]]
    return chosen


def _size(members: Members, files: Sequence[str]) -> tuple[int, int]:
    """Height and width of a field, of which all files must agree."""
    sizes = {file: size_of(members.read(file), file) for file in files}
    first = sizes[files[0]]
    for file, size in sizes.items():
        if size != first:
            msg = f"{file!r} has {size} pixels, {files[0]!r} has {first}; all files of a field have one size."
            raise InputError(msg)
    return first


def _parts(sizes: Mapping[str, tuple[int, int]], split: str) -> dict[str, FieldPart]:
    """The fields of a split, whole; or the split's side of the one field there is."""
    if len(sizes) > 1 or split in ("all", "test"):
        return {field: FieldPart(0, 0, *sizes[field]) for field in choose(sizes, split)}
    ((field, (height, width)),) = sizes.items()
    border = width - round(width * VALIDATION)
    if border <= 2 * GUARD or width - border <= GUARD:
        msg = f"Field {field!r} is {width} pixels wide, too narrow to be split in space; give more fields."
        raise InputError(msg)
    return {
        field: FieldPart(0, 0, height, border - GUARD)
        if split == "train"
        else FieldPart(0, border, height, width - border)
    }


def _tiles(whole: FieldPart, tile: int) -> list[FieldPart]:
    """Tiles of nearly equal size that cover a window; the window itself where tile is 0."""
    if not tile:
        return [whole]
    rows = np.linspace(0, whole.height, ceil(whole.height / tile) + 1).round().astype(int)
    cols = np.linspace(0, whole.width, ceil(whole.width / tile) + 1).round().astype(int)
    return [
        FieldPart(int(whole.top + top), int(whole.left + left), int(bottom - top), int(right - left))
        for top, bottom in pairwise(rows)
        for left, right in pairwise(cols)
    ]


def _name(field: str, part: FieldPart) -> str:
    return f"{field}@y{part.top}x{part.left}"


READER = Reader("multiplex", LICENCE, "a folder of multiplexed fields, a TIFF a channel", open_multiplex)
