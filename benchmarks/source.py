"""The images to measure on: labelled data by its spec, or image files. Described in JSON, so that every fresh
process finds the same images in the same order, and reads them one at a time.
"""

import glob
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import datasets
from runtime.errors import InputError
from runtime.images import read_planes
from runtime.normalize import check_frame
from runtime.records import Record

from .report import Data

IMAGES = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Field:
    """One field of view; labels are int32 (H, W), or None where there are none."""

    name: str
    frame: NDArray[Any]
    labels: NDArray[np.int32] | None


class Content:
    """Tells whether two sets of images are the same: pixels, their type and labels, in any order, under any name."""

    def __init__(self) -> None:
        self._images: list[bytes] = []

    def add(self, field: Field) -> None:
        """Take in one image."""
        digest = hashlib.sha256()
        for array in (field.frame, field.labels):
            if array is not None:
                ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                digest.update(f"{ordered.dtype.str}{ordered.shape}".encode())
                digest.update(ordered.data)
        self._images.append(digest.digest())

    def sha256(self) -> str:
        """Of all images taken in so far."""
        return hashlib.sha256(b"".join(sorted(self._images))).hexdigest()


@dataclass(frozen=True)
class Source(Record):
    """Either `data` with the `names` to take and the kind of `labels`, or the files of `images`."""

    data: str | None = None
    names: tuple[str, ...] = ()
    labels: str | None = None
    images: tuple[str, ...] = ()
    channel: int | None = None

    def __iter__(self) -> Iterator[Field]:
        return self._samples() if self.data else self._planes()

    def _samples(self) -> Iterator[Field]:
        for sample in datasets.open(self.data or "", "test").subset(self.names):
            yield Field(sample.name, sample.frame, sample.labels.get(self.labels or ""))

    def _planes(self) -> Iterator[Field]:
        stems = Counter[str]()
        for path in map(Path, self.images):
            stems[path.stem] += 1
            stem = path.stem if stems[path.stem] == 1 else f"{path.stem}-{stems[path.stem]}"  # a.png, other/a.png
            for plane in read_planes(path, self.channel):
                yield Field("-".join(filter(None, (stem, plane.label))), plane.frame, None)


def from_data(spec: str, labels: str | None, limit: int | None, trained_on: Set[str]) -> tuple[Source, Data]:
    """Labelled data without the images that a student was trained on, at most `limit` of them.

    labels : "nuclei" or "cells"; None takes nuclei where there are some, else what there is
    trained_on : fingerprints of the frames to leave out"""
    everything = datasets.open(spec, "test")
    dataset = datasets.unseen(everything, trained_on)[:limit]
    if not len(dataset):
        msg = f"Each of the {len(everything)} images of {spec!r} was {datasets.SEEN}; give others or --include-trained."
        raise InputError(msg)
    kind = _kind_of_labels(dataset[0].labels, labels, spec)
    left_out = {reason: count for reason, count in dataset.left_out.items() if count}
    data = Data(spec, len(dataset), dataset.licence, dataset.description, left_out, None)
    return Source(data=spec, names=dataset.names, labels=kind), data


def _kind_of_labels(there: Mapping[str, Any], wanted: str | None, spec: str) -> str | None:
    if wanted and wanted not in there:
        msg = f"{spec!r} has no labels {wanted!r}; it has {', '.join(there) or 'none'}; choose with --labels."
        raise InputError(msg)
    return wanted or ("nuclei" if "nuclei" in there else next(iter(there), None))


def from_images(patterns: tuple[str, ...], channel: int | None, limit: int | None) -> tuple[Source, Data]:
    """Image files: paths, folders (their PNG and TIFF files) and glob patterns, which Windows' shells leave to us."""
    paths = [path for pattern in patterns for path in _expand(pattern)][:limit]
    source = Source(images=tuple(map(str, paths)), channel=channel)
    data = Data(" ".join(patterns), _checked(source), None, f"{len(paths)} files without labels", {}, None)
    return source, data


def _checked(source: Source) -> int:
    """Look at every frame once, so that one that is of no use is said before anything runs; count them."""
    count = 0
    for field in source:
        try:
            check_frame(field.frame)
        except InputError as error:
            msg = f"{field.name}: {error}"
            raise InputError(msg) from error
        count += 1
    return count


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        found = sorted(child for child in path.iterdir() if child.suffix.lower() in IMAGES)
    elif path.exists():
        found = [path]
    else:
        found = sorted(Path(match) for match in glob.glob(pattern))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not found:
        msg = f"No image {pattern!r}; give PNG or TIFF files, a folder of them, or a pattern."
        raise InputError(msg)
    return found
