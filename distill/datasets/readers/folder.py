"""A user's own data: images/ and labels/ side by side, with equal stems, in a folder or a zip.

A label image holds instance ids. One that knows a single value besides 0 is a mask, and its connected
components are the objects. Images are of any kind that runtime.images reads: (H, W), or several channels. Where the
file names its channels, the nuclear one comes first, else the nucleus is the first and the membrane the second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl

from numpy.typing import NDArray

from distill.datasets.members import Members
from distill.datasets.pictures import PNG, channels_of, check_finite, decode, instances, only_scene, pixels_of, size_of
from distill.datasets.sample import MEMBRANE, NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import choose
from runtime.errors import InputError
from runtime.images.files import SUFFIXES, stem_of
from runtime.images.planes import number_or_name

LICENCE = "as the user's data"
LAYOUT = "expected images/NAME.tif and labels/NAME.tif (or .png), with equal names"
MOST_CHANNELS = 64


@dataclass(frozen=True)
class Folder:
    """Reads samples by their stem; a pair is (image member, label member)."""

    members: Members
    pairs: Mapping[str, tuple[str, str]]
    kind: str = "nuclei"
    channel: int | str | None = None

    def __call__(self, name: str) -> Sample:
        image_name, label_name = self.pairs[name]
        with self.members.open_image(image_name) as opened:
            image, channels = channels_of(opened, image_name, self.channel)
        if len(image) > MOST_CHANNELS:
            msg = f"Image {image_name!r} has shape {image.shape}; give (H, W), or (C, H, W) with the nucleus first."
            raise InputError(msg)
        check_finite(image, image_name)
        labels = instances(self._labels(label_name), label_name)
        if labels.shape != image.shape[1:]:
            msg = (
                f"Labels {label_name!r} have {labels.shape} pixels, their image {image_name!r} has "
                f"{image.shape[1:]}; give labels of the image's size."
            )
            raise InputError(msg)
        return Sample(name, image, _channels(channels), {self.kind: labels})

    def _labels(self, name: str) -> NDArray:
        if PurePosixPath(name).suffix.lower() in PNG:
            return decode(self.members.read(name), name)
        with self.members.open_image(name) as opened:
            return pixels_of(opened, name)

    def size(self, name: str) -> tuple[int, ...]:
        """Height and width, from the header."""
        image_name = self.pairs[name][0]
        if PurePosixPath(image_name).suffix.lower() in PNG:
            return size_of(self.members.read(image_name), image_name)
        with self.members.open_image(image_name) as opened:
            return only_scene(opened, image_name).frame_shape


def open_folder(argument: str, split: str) -> Dataset:
    """argument : "PATH", or "PATH?labels=cells&channel=NAME".

    labels : cells where the label images hold whole cells instead of nuclei
    channel : the nuclear channel of the images, from 0 or by name, where their names leave it open
    Files are paired by stem; sizes are looked up only where a split needs them.
    """
    path, _, query = argument.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    kind = options.get("labels", "nuclei")
    if kind not in ("nuclei", "cells") or not set(options) <= {"labels", "channel"} or (query and not options):
        msg = f"Folder data {argument!r} end in {query!r}; give nothing, ?labels=cells, or ?channel=NAME."
        raise InputError(msg)
    members = Members(Path(path).expanduser())
    read = Folder(members, _pairs(members), kind, number_or_name(options.get("channel")))
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
        msg = f"{str(members.path)!r} holds no images/ with image files; {LAYOUT}."
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
        if str(path.parent) != folder or path.suffix.lower() not in SUFFIXES:
            continue
        stem = stem_of(path)
        if stem in found:
            msg = f"{found[stem]!r} and {name!r} have the same stem; rename one of them and its partner."
            raise InputError(msg)
        found[stem] = name
    return found


def _channels(names: Sequence[str]) -> tuple[str, ...]:
    """What the planes are called: the nucleus, then by the file's names, or else the membrane and by numbers."""
    plain = tuple(MEMBRANE if number == 1 else f"channel{number}" for number in range(len(names)))
    others = [name.strip().lower() or plain[number] for number, name in enumerate(names) if number]
    unique = [
        other if others.count(other) == 1 and other != NUCLEUS else f"channel{k}" for k, other in enumerate(others, 1)
    ]
    return (NUCLEUS, *unique)


READER = Reader("folder", LICENCE, "a folder of the user's own images and labels", open_folder)
