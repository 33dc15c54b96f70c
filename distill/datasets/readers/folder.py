"""A user's own data: images/ and labels/ side by side, TIFF or PNG, with equal stems, in a folder or a zip.

A label image holds instance ids. One that knows a single value besides 0 is a mask, and its connected
components are the objects. Images are (H, W), or (C, H, W) with the nucleus first and the membrane second.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from distill.datasets.members import Members
from distill.datasets.pictures import PNG, TIFF, check_finite, decode, grey_of, instances, size_of
from distill.datasets.sample import MEMBRANE, NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import choose
from runtime.errors import InputError

LICENCE = "as the user's data"
LAYOUT = "expected images/NAME.tif and labels/NAME.tif (or .png), with equal names"
DTYPES = ("uint8", "uint16", "float32")
MOST_CHANNELS = 64


@dataclass(frozen=True)
class Folder:
    """Reads samples by their stem; a pair is (image member, label member)."""

    members: Members
    pairs: Mapping[str, tuple[str, str]]
    kind: str = "nuclei"

    def __call__(self, name: str) -> Sample:
        image_name, label_name = self.pairs[name]
        image = _planes(decode(self.members.read(image_name), image_name), image_name)
        labels = instances(decode(self.members.read(label_name), label_name), label_name)
        if labels.shape != image.shape[1:]:
            msg = (
                f"Labels {label_name!r} have {labels.shape} pixels, their image {image_name!r} has "
                f"{image.shape[1:]}; give labels of the image's size."
            )
            raise InputError(msg)
        return Sample(name, image, _channels(len(image)), {self.kind: labels})

    def size(self, name: str) -> tuple[int, ...]:
        """Height and width, from the header."""
        image_name = self.pairs[name][0]
        return size_of(self.members.read(image_name), image_name)


def open_folder(argument: str, split: str) -> Dataset:
    """argument : "PATH", or "PATH?labels=cells" where the label images hold whole cells instead of nuclei.

    Files are paired by stem; sizes are looked up only where a split needs them.
    """
    path, _, query = argument.partition("?")
    kind = query.removeprefix("labels=") if query else "nuclei"
    if kind not in ("nuclei", "cells"):
        msg = f"Folder data {argument!r} end in {query!r}; give nothing, or ?labels=cells."
        raise InputError(msg)
    members = Members(Path(path).expanduser())
    read = Folder(members, _pairs(members), kind)
    parts = split in ("train", "val")
    strata = {name: read.size(name) if parts else () for name in read.pairs}
    description = (
        f"{len(read.pairs)} labelled images of {members.path.name!r}; a label image with one value besides 0 "
        "is taken as a mask, its connected components as the objects"
    )
    return Dataset(choose(strata, split), read, LICENCE, description)


def _pairs(members: Members) -> dict[str, tuple[str, str]]:
    images, labels = (_stems(members, folder) for folder in ("images", "labels"))
    if not images:
        msg = f"{str(members.path)!r} holds no images/ with TIFF or PNG files; {LAYOUT}."
        raise InputError(msg)
    for these, those, what, other in (
        (labels, images, "label image", "image"),
        (images, labels, "image", "label image"),
    ):
        if alone := sorted(set(these) - set(those)):
            msg = f"{len(alone)} {what}(s) in {str(members.path)!r} have no {other} (first: {alone[0]!r}); {LAYOUT}."
            raise InputError(msg)
    return {stem: (images[stem], labels[stem]) for stem in sorted(images)}


def _stems(members: Members, folder: str) -> dict[str, str]:
    """Stem -> member, of the pictures that lie directly in the folder."""
    found: dict[str, str] = {}
    for name in members.names:
        path = PurePosixPath(name)
        if str(path.parent) != folder or path.suffix.lower() not in PNG + TIFF:
            continue
        stem = path.stem.removesuffix(".ome")
        if stem in found:
            msg = f"{found[stem]!r} and {name!r} have the same stem; rename one of them and its partner."
            raise InputError(msg)
        found[stem] = name
    return found


def _planes(picture: NDArray, name: str) -> NDArray:
    """(C, H, W) of an accepted dtype."""
    if picture.ndim == 3 and picture.shape[-1] in (3, 4) and picture.shape[0] > MOST_CHANNELS:
        picture = grey_of(picture, name)
    if picture.ndim == 2:
        picture = picture[None]
    if picture.ndim != 3 or len(picture) > MOST_CHANNELS or not picture.size:
        msg = f"Image {name!r} has shape {picture.shape}; give (H, W), or (C, H, W) with the nucleus first."
        raise InputError(msg)
    if picture.dtype.name not in DTYPES:
        msg = f"Image {name!r} is {picture.dtype}; save it as one of {', '.join(DTYPES)}."
        raise InputError(msg)
    check_finite(picture, name)
    return np.ascontiguousarray(picture, picture.dtype.newbyteorder("="))


def _channels(count: int) -> tuple[str, ...]:
    known = (NUCLEUS, MEMBRANE)
    return known[:count] + tuple(f"channel{number}" for number in range(len(known), count))


READER = Reader("folder", LICENCE, "a folder of the user's own images and labels", open_folder)
