"""The images to measure on: labelled data by its spec, or image files. Described in JSON, so that every fresh
process finds the same images in the same order, and reads them one at a time.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs.artifacts import unique_names
from distill import datasets
from runtime.artifact.artifact import Artifact
from runtime.errors import InputError
from runtime.frames.normalize import check_frame
from runtime.images.files import find_images, stem_of
from runtime.images.planes import PlaneChoice, number_or_name, planes_of
from runtime.records import Record


@dataclass(frozen=True)
class FieldOfView:
    """One field of view; labels are int32 (H, W), or None where there are none."""

    name: str
    frame: NDArray[Any]
    labels: NDArray[np.int32] | None


@dataclass(frozen=True)
class Data(Record):
    """The images. left_out: how many were found and not used, by reason.

    content : SHA-256 over the names, pixels and labels of the images that were used; equal exactly where the images
        are; None where no artefact could be scored
    """

    spec: str
    images: int
    licence: str | None
    description: str
    left_out: Mapping[str, int]
    content: str | None


class Content:
    """Tells whether two sets of images are the same: pixels, their type and labels, in any order, under any name."""

    def __init__(self) -> None:
        self._images: list[bytes] = []

    def add(self, field: FieldOfView) -> None:
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
class ImageSource(Record):
    """Either `data` with the `names` to take and the kind of `labels`, or the files of `images`."""

    data: str | None = None
    names: tuple[str, ...] = ()
    labels: str | None = None
    images: tuple[str, ...] = ()
    channel: str | None = None
    scene: str | None = None

    def __iter__(self) -> Iterator[FieldOfView]:
        return self._samples() if self.data else self._planes()

    def _samples(self) -> Iterator[FieldOfView]:
        for sample in datasets.open(self.data or "", "test").subset(self.names):
            yield FieldOfView(sample.name, sample.frame, sample.labels.get(self.labels or ""))

    def _planes(self) -> Iterator[FieldOfView]:
        stems = unique_names(stem_of(image) for image in self.images)  # a.png, other/a.png
        choice = PlaneChoice(number_or_name(self.channel), number_or_name(self.scene))
        for path, stem in zip(self.images, stems, strict=True):
            for plane in planes_of(Path(path), choice):
                yield FieldOfView("-".join(filter(None, (stem, plane.label))), plane.frame, None)


@dataclass(frozen=True)
class Selection:
    """Which images to measure on: either `data` or `images`.

    data : labelled data, "NAME:PATH"
    images : files, folders (the images in them) and glob patterns, which Windows' shells leave to us
    channel, scene : of files with several, from 0 or by name
    labels : "nuclei" or "cells"; None takes what all artefacts find, else nuclei where there are some
    limit : use this many images at most
    include_trained : use images that a student was trained on, too
    """

    data: str | None = None
    images: tuple[str, ...] = ()
    channel: int | str | None = None
    labels: str | None = None
    limit: int | None = None
    include_trained: bool = False
    scene: int | str | None = None

    def __post_init__(self) -> None:
        check_one(self.data, self.images)

    def open(self, artifacts: Iterable[Artifact]) -> tuple[ImageSource, Data]:
        """The images for these artefacts; InputError where none is left, and for images of no use."""
        if self.data is None:
            return self._of_files()
        manifests = [artifact.manifest for artifact in artifacts]
        trained_on = {frame for manifest in manifests for frame in manifest.lineage.trained_on}
        everything = datasets.open(self.data, "test")
        dataset = datasets.unseen(everything, set() if self.include_trained else trained_on)[: self.limit]
        if not len(dataset):
            msg = (
                f"Each of the {len(everything)} images of {self.data!r} was {datasets.SEEN}; give others or "
                "--include-trained."
            )
            raise InputError(msg)
        kinds = {manifest.accuracy and manifest.accuracy.labels for manifest in manifests}
        labels = self.labels or (kinds.pop() if len(kinds) == 1 else None)
        kind = _kind_of_labels(dataset[0].labels, labels, self.data)
        left_out = {reason: count for reason, count in dataset.left_out.items() if count}
        data = Data(self.data, len(dataset), dataset.licence, dataset.description, left_out, None)
        return ImageSource(data=self.data, names=dataset.names, labels=kind), data

    def _of_files(self) -> tuple[ImageSource, Data]:
        paths = find_images(self.images)[: self.limit]
        channel, scene = (None if one is None else str(one) for one in (self.channel, self.scene))
        source = ImageSource(images=tuple(map(str, paths)), channel=channel, scene=scene)
        data = Data(" ".join(self.images), _checked(source), None, f"{len(paths)} files without labels", {}, None)
        return source, data


def check_one(data: str | None, images: Sequence[object]) -> None:
    """InputError unless exactly one of them was given."""
    if bool(data) == bool(images):
        msg = f"Give either --data NAME:PATH or --images FILE..., not {'both' if data else 'neither'}."
        raise InputError(msg)


def _kind_of_labels(available: Mapping[str, Any], requested: str | None, spec: str) -> str | None:
    if requested and requested not in available:
        msg = f"{spec!r} has no labels {requested!r}; it has {', '.join(available) or 'none'}; choose with --labels."
        raise InputError(msg)
    return requested or ("nuclei" if "nuclei" in available else next(iter(available), None))


def _checked(source: ImageSource) -> int:
    """Check every frame before anything is measured, and return their number. InputError names the first bad frame."""
    count = 0
    for field in source:
        try:
            check_frame(field.frame)
        except InputError as error:
            msg = f"{field.name}: {error}"
            raise InputError(msg) from error
        count += 1
    return count
