"""A user's own data: images and labels in the layouts of distill.datasets.annotations, in a folder or a zip.

A label image holds instance ids. One that knows a single value besides 0 is a mask, and its connected components are
the objects. Images are of any kind that runtime.images reads: (H, W), or several channels. Where the file names its
channels, the nuclear one comes first, else the nucleus is the first and the membrane the second.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl

from distill.datasets.annotations.formats import read_labels
from distill.datasets.annotations.layout import LAYOUT, Layout, pair
from distill.datasets.members import Members
from distill.datasets.pictures import PNG, channels_of, only_scene, size_of
from distill.datasets.sample import MEMBRANE, NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import WHOLE, choose, fold
from runtime.errors import InputError
from runtime.images.planes import number_or_name

LICENCE = "as the user's data"
UNLABELLED = "without labels"
OPTIONS = ("labels", "from", "fold", "part", "channel")
FOLD = re.compile(r"(\d+)of(\d+)")


@dataclass(frozen=True)
class FolderImages:
    """Reads samples by the names of their images; those without a label file have no labels."""

    layout: Layout
    kind: str = "nuclei"
    channel: int | str | None = None

    def __call__(self, name: str) -> Sample:
        member = self.layout.images[name]
        with self.layout.members.open_image(member) as opened:
            image, channels = channels_of(opened, member, self.channel)
        shape = (image.shape[1], image.shape[2])
        file = self.layout.labels.get(name)
        labels = {} if file is None else {self.kind: read_labels(file, shape, member).labels}
        return Sample(name, image, _channels(channels), labels)

    def has_objects(self, name: str) -> bool:
        """Whether the label file of an image, which must have one, holds any."""
        height, width = self.size(name)
        return bool(read_labels(self.layout.labels[name], (height, width), self.layout.images[name]).labels.any())

    def size(self, name: str) -> tuple[int, int]:
        """Height and width, from the header."""
        member = self.layout.images[name]
        if PurePosixPath(member).suffix.lower() in PNG:
            return size_of(self.layout.members.read(member), member)
        with self.layout.members.open_image(member) as opened:
            return only_scene(opened, member).frame_shape


def open_folder(argument: str, split: str) -> Dataset:
    """argument : "PATH" or "PATH?labels=cells&from=DIR&fold=KofN&part=val&channel=NAME".

    labels : nuclei or cells, what the label images hold; from : the folder or zip of the label files
    fold : "val" is part K (from 0) of N, "train" is the others, in place of every fifth image; images with and without
        objects are divided evenly
    part : all, train or val, whatever split is asked for
    channel : the nuclear channel of the images, from 0 or by name, where their names leave it open

    Images without labels are among those of "train" alone, for a teacher. Sizes are looked up only where a split needs
    them.
    """
    path, options = _parse(argument)
    labels = Members(Path(options["from"]).expanduser()) if "from" in options else None
    layout = pair(Members(Path(path).expanduser()), labels)
    read = FolderImages(layout, options.get("labels", "nuclei"), number_or_name(options.get("channel")))
    split = options.get("part", split)
    if not layout.labels and split != "train":
        msg = f"None of the {len(layout.images)} images of {path!r} has labels; {LAYOUT}."
        raise InputError(msg)
    chosen = _chosen(layout, read, split, options.get("fold"))
    left_out = {UNLABELLED: len(layout.unlabelled)} if layout.unlabelled and split != "train" else {}
    unlabelled = f" and {len(layout.unlabelled)} others" if layout.unlabelled else ""
    description = (
        f"{len(layout.labels)} labelled images{unlabelled} of {layout.members.path.name!r}; a label image with one "
        "value besides 0 is taken as a mask, its connected components as the objects"
    )
    return Dataset(chosen, read, LICENCE, description, left_out)


def _parse(argument: str) -> tuple[str, dict[str, str]]:
    path, _, query = argument.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if query and not options:
        options = {query: ""}
    allowed = {"labels": ("nuclei", "cells"), "part": ("all", "train", "val")}
    for key, value in options.items():
        if key not in OPTIONS:
            msg = f"Option {key!r} of the folder data is unknown; there are {', '.join(OPTIONS)}."
            raise InputError(msg)
        if key in allowed and value not in allowed[key]:
            msg = f"Folder data {argument!r} have {key}={value}; give {' or '.join(allowed[key])}."
            raise InputError(msg)
    if "fold" in options:
        match = FOLD.fullmatch(options["fold"])
        if not match or not int(match[1]) < int(match[2]) or int(match[2]) < 2:
            msg = f"The fold of the folder data is {options['fold']!r}; give KofN, such as 0of3."
            raise InputError(msg)
    return path, options


def _chosen(layout: Layout, read: FolderImages, split: str, part: str | None) -> tuple[str, ...]:
    """The names of a split: labelled images alone, but in "train" also those without labels."""
    if part is None or split in WHOLE:
        names = choose({name: () if split in WHOLE else read.size(name) for name in layout.labels}, split)
    else:
        number, count = map(int, part.split("of"))
        held_out = fold({name: read.has_objects(name) for name in layout.labels}, number, count)
        names = held_out if split == "val" else tuple(sorted(set(layout.labels) - set(held_out)))
    return tuple(sorted((*names, *layout.unlabelled))) if split == "train" else names


def _channels(names: Sequence[str]) -> tuple[str, ...]:
    """What the planes are called: the nucleus, then by the file's names, or else the membrane and by numbers."""
    plain = tuple(MEMBRANE if number == 1 else f"channel{number}" for number in range(len(names)))
    others = [name.strip().lower() or plain[number] for number, name in enumerate(names) if number]
    unique = [
        other if others.count(other) == 1 and other != NUCLEUS else f"channel{k}" for k, other in enumerate(others, 1)
    ]
    return (NUCLEUS, *unique)


READER = Reader("folder", LICENCE, "a folder of the user's own images and labels", open_folder)
