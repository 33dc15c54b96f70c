"""BBBC038 (Data Science Bowl 2018, stage 1): nuclei, one PNG per instance, in the official layout.

`<id>/images/<id>.png` and `<id>/masks/*.png`, in a folder or a zip, possibly below one more folder. The full
set mixes modalities; only dark-background fluorescence is what a student is for, so the rest is left out and
counted. Nuclei are labelled and nothing else. Caicedo et al., Nature Methods 16, 1247 (2019).
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from distill.datasets.members import Members
from distill.datasets.pictures import decode, open_png
from distill.datasets.readers.bbbc038 import groups
from distill.datasets.sample import NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import WHOLE, choose
from runtime.errors import InputError

LICENCE = "CC0-1.0"
LAYOUT = "expected <id>/images/<id>.png and <id>/masks/*.png, as in stage1_train.zip"
COLOUR = "colour histology"
BRIGHT = "bright background"
CLEARLY_COLOURED = 4.0  # mean difference between the colour channels, in grey levels of 255
GROUPED = "split=groups"
GLANCE = 5  # masks looked at to tell bright nuclei from dark ones


@dataclass(frozen=True)
class ImageMembers:
    """The members of one image: its picture and one mask per instance."""

    image: str
    masks: tuple[str, ...]


@dataclass(frozen=True)
class Bbbc038:
    """Reads samples by id."""

    members: Members
    entries: dict[str, ImageMembers]

    def __call__(self, name: str) -> Sample:
        entry = self.entries[name]
        frame = self.frame(name)
        labels = self.labels(entry, frame.shape)
        return Sample(name, frame[None], (NUCLEUS,), {"nuclei": labels})

    def frame(self, name: str) -> NDArray[np.uint8]:
        """The picture alone, uint8 (H, W): an image has a file for each of its objects."""
        return self.grey(self.entries[name])[0]

    def grey(self, entry: ImageMembers) -> tuple[NDArray[np.uint8], float]:
        """The picture as uint8 (H, W), and how coloured it was (mean spread of the channels, 0 to 255)."""
        picture = open_png(self.members.read(entry.image), entry.image)
        if picture.mode in ("L", "LA", "1"):
            return np.asarray(picture.convert("L")), 0.0
        colours = np.asarray(picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB"))[..., :3]
        red, green, blue = np.moveaxis(colours, -1, 0)
        if np.array_equal(red, green) and np.array_equal(red, blue):
            return np.ascontiguousarray(red), 0.0
        highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
        return highest, float((highest - lowest).mean())

    def labels(self, entry: ImageMembers, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Masks in the order of their names; a pixel belongs to the first mask that claims it."""
        labels = np.zeros(shape, np.int32)
        count = 0
        for name in entry.masks:
            mine = self.mask(name, shape) & (labels == 0)
            if mine.any():
                count += 1
                labels[mine] = count
        return labels

    def mask(self, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """One instance, from 0/255 or 0/1, with or without colour channels."""
        mask = decode(self.members.read(name), name)
        if mask.ndim == 3:
            mask = mask[..., 0]  # grey stored as colour; the last channel may be an opaque alpha
        if mask.shape != shape:
            msg = f"Mask {name!r} is {mask.shape}, its image {tuple(shape)} pixels; replace the mask."
            raise InputError(msg)
        return mask > (127 if mask.max(initial=0) > 1 else 0)

    def left_out(self, entry: ImageMembers) -> tuple[str | None, NDArray[np.uint8]]:
        """Why the image is no dark-background fluorescence (None: it is), and its picture."""
        frame, colour = self.grey(entry)
        if colour > CLEARLY_COLOURED:
            return COLOUR, frame
        return (None if self._nuclei_are_bright(entry, frame) else BRIGHT), frame

    def _nuclei_are_bright(self, entry: ImageMembers, frame: NDArray[np.uint8]) -> bool:
        """Some masks are enough where they agree, or else all of them; without any, the histogram decides."""
        mean = float(frame.mean())
        if not entry.masks:
            return mean < 128 or float(np.median(frame)) <= mean
        some = entry.masks[:: max(1, len(entry.masks) // GLANCE)]
        return self._brightness(some, frame) > mean or self._brightness(entry.masks, frame) >= mean

    def _brightness(self, masks: tuple[str, ...], frame: NDArray[np.uint8]) -> float:
        pixels = [frame[self.mask(name, frame.shape)] for name in masks]
        return float(np.concatenate(pixels).mean()) if sum(map(len, pixels)) else float("inf")


def open_bbbc038(argument: str, split: str) -> Dataset:
    """Find the images, look at each once to leave out what is no fluorescence, and split by image size.

    argument : PATH, or "PATH?split=groups", which keeps images that look alike in one part (see groups).
    """
    path, by_groups = _parse(argument)
    members = Members(_archive_or_folder(Path(path).expanduser()))
    entries = _entries(members)
    read = Bbbc038(members, entries)
    left_out: dict[str, int] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    looks: dict[str, tuple[tuple[int, ...], NDArray[np.float64]]] = {}
    by_groups = by_groups and split not in WHOLE
    for name, entry in entries.items():
        reason, frame = read.left_out(entry)
        if reason is not None:
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        sizes[name] = frame.shape
        if by_groups:
            looks[name] = (frame.shape, groups.appearance(frame))
    if not sizes:
        msg = f"{argument!r} holds no fluorescence image ({_counts(left_out)}); give dark-background images."
        raise InputError(msg)
    description = f"BBBC038 stage 1, nuclei, {len(sizes)} fluorescence images; left out: {_counts(left_out)}"
    names = groups.choose(looks, split) if by_groups else choose(sizes, split)
    return Dataset(names, read, LICENCE, description, left_out, frame=read.frame)


def _parse(argument: str) -> tuple[str, bool]:
    path, _, query = argument.partition("?")
    if query not in ("", GROUPED):
        msg = f"Option {query!r} of the BBBC038 data is unknown; there is {GROUPED}."
        raise InputError(msg)
    return path, bool(query)


def _archive_or_folder(path: Path) -> Path:
    """A download folder that holds nothing but the zip stands for the zip."""
    if path.is_dir():
        visible = [child for child in path.iterdir() if not child.name.startswith(".")]
        zips = [child for child in visible if child.suffix.lower() == ".zip"]
        if len(zips) == 1 and not any(child.is_dir() for child in visible):
            return zips[0]
    return path


def _entries(members: Members) -> dict[str, ImageMembers]:
    images: dict[str, list[str]] = defaultdict(list)
    masks: dict[str, list[str]] = defaultdict(list)
    for name in members.names:
        parts = PurePosixPath(name).parts
        is_folder = name.endswith("/")
        kind = parts[-1] if is_folder else parts[-2] if len(parts) > 1 else ""
        owner = "/".join(parts[: -1 if is_folder else -2])
        if kind == "masks":
            masks[owner] += [] if is_folder or not _is_png(name) else [name]
        elif kind == "images" and not is_folder and _is_png(name):
            images[owner].append(name)
    _check_layout(members.path, images, masks)
    return {PurePosixPath(o).name: ImageMembers(images[o][0], tuple(sorted(masks[o]))) for o in sorted(images)}


def _check_layout(path: Path, images: dict[str, list[str]], masks: dict[str, list[str]]) -> None:
    if not images:
        msg = f"{str(path)!r} holds no image in the layout of BBBC038; {LAYOUT}."
        raise InputError(msg)
    if parents := sorted({str(PurePosixPath(owner).parent) for owner in images})[1:]:
        msg = f"{str(path)!r} holds images in several folders (also {parents[0]!r}); give one of them."
        raise InputError(msg)
    if several := [owner for owner, found in images.items() if len(found) > 1]:
        msg = f"{several[0]!r} in {str(path)!r} has {len(images[several[0]])} images, not one; {LAYOUT}."
        raise InputError(msg)
    if unlabelled := [owner for owner in images if owner not in masks]:
        msg = (
            f"{len(unlabelled)} of {len(images)} images in {str(path)!r} have no masks folder "
            f"(first: {unlabelled[0]!r}); give the labelled images, stage1_train."
        )
        raise InputError(msg)


def _is_png(name: str) -> bool:
    return name.lower().endswith(".png")


def _counts(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())) or "nothing"


READER = Reader(
    "bbbc038",
    LICENCE,
    "BBBC038v1, Broad Bioimage Benchmark Collection (Data Science Bowl 2018, stage 1), nuclei labelled",
    open_bbbc038,
)
