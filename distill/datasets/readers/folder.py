"""A user's own data: images and labels in the layouts of distill.datasets.annotations, in a folder or a zip.

A label image holds instance ids. One that knows a single value besides 0 is a mask, and its connected components are
the objects. Images are (H, W), or (C, H, W) with the nucleus first and the membrane second.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from distill.datasets.annotations.formats import read_labels
from distill.datasets.annotations.layout import LAYOUT, Layout, pair
from distill.datasets.annotations.planes import planes_of
from distill.datasets.members import Members
from distill.datasets.pictures import decode_with_axes, size_of
from distill.datasets.sample import MEMBRANE, NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import WHOLE, choose, fold
from runtime.errors import InputError

LICENCE = "as the user's data"
UNLABELLED = "without labels"
OPTIONS = ("labels", "from", "fold", "part")
FOLD = re.compile(r"(\d+)of(\d+)")


@dataclass(frozen=True)
class Folder:
    """Reads samples by the names of their images; those without a label file have no labels."""

    layout: Layout
    kind: str = "nuclei"

    def __call__(self, name: str) -> Sample:
        member = self.layout.images[name]
        image = planes_of(*decode_with_axes(self.layout.members.read(member), member), member)
        shape = (image.shape[1], image.shape[2])
        file = self.layout.labels.get(name)
        labels = {} if file is None else {self.kind: read_labels(file, shape, member).labels}
        return Sample(name, image, _channels(len(image)), labels)

    def size(self, name: str) -> tuple[int, ...]:
        """Height and width, from the header."""
        member = self.layout.images[name]
        return size_of(self.layout.members.read(member), member)


def open_folder(argument: str, split: str) -> Dataset:
    """argument : "PATH" or "PATH?labels=cells&from=DIR&fold=KofN&part=val".

    labels : nuclei or cells, what the label images hold; from : the folder or zip of the label files
    fold : "val" is part K (from 0) of N, "train" is the others, in place of every fifth image
    part : all, train or val, whatever split is asked for

    Images without labels are among those of "train" alone, for a teacher. Sizes are looked up only where a split needs
    them.
    """
    path, options = _parse(argument)
    labels = Members(Path(options["from"]).expanduser()) if "from" in options else None
    layout = pair(Members(Path(path).expanduser()), labels)
    read = Folder(layout, options.get("labels", "nuclei"))
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


def _chosen(layout: Layout, read: Folder, split: str, part: str | None) -> tuple[str, ...]:
    """The names of a split: labelled images alone, but in "train" also those without labels."""
    if part is None or split in WHOLE:
        names = choose({name: () if split in WHOLE else read.size(name) for name in layout.labels}, split)
    else:
        number, count = map(int, part.split("of"))
        held_out = fold(layout.labels, number, count)
        names = held_out if split == "val" else tuple(sorted(set(layout.labels) - set(held_out)))
    return tuple(sorted((*names, *layout.unlabelled))) if split == "train" else names


def _channels(count: int) -> tuple[str, ...]:
    known = (NUCLEUS, MEMBRANE)
    return known[:count] + tuple(f"channel{number}" for number in range(len(known), count))


READER = Reader("folder", LICENCE, "a folder of the user's own images and labels", open_folder)
