"""Pair the images of a folder or zip with their labels, in the layouts that people have.

    images/NAME.tif + labels/NAME.tif       or masks/, annotations/, rois/ in place of labels/
    NAME.tif + labels/NAME.tif              images in the folder itself
    NAME.tif + NAME_cp_masks.tif            side by side, with one of ENDINGS
    NAME.tif + NAME.geojson                 QuPath; NAME_rois.zip, NAME.zip and NAME.roi of ImageJ
    images in one folder, labels in another

A label file is called as its image, with or without one of ENDINGS (see runtime.images.label_files). Images may be
without labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.images.files import FOLDERS as IMAGE_FOLDERS
from runtime.images.files import SUFFIXES as PICTURES
from runtime.images.files import stem_of
from runtime.images.label_files import FOLDERS, IMAGES, OUTLINES, base_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from distill.datasets.members import Members

PICKLE = ".npy"  # Cellpose's NAME_seg.npy
LAYOUT = (
    "expected images/NAME.tif and labels/NAME.tif, or NAME.tif and NAME_masks.tif side by side (TIFF, PNG, QuPath "
    "GeoJSON or ImageJ ROI zip), with equal names"
)


@dataclass(frozen=True)
class LabelFile:
    """One label file, and the folder or zip that it is in."""

    members: Members
    name: str

    def read(self) -> bytes:
        """Its bytes."""
        return self.members.read(self.name)


@dataclass(frozen=True)
class Layout:
    """images : image name to member; labels : image name to label file, for the images that have one."""

    members: Members
    images: Mapping[str, str]
    labels: Mapping[str, LabelFile] = field(default_factory=dict[str, LabelFile])

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """The images without a label file."""
        return tuple(name for name in self.images if name not in self.labels)


def pair(members: Members, labels: Members | None = None) -> Layout:
    """Find the images, and the label file of each.

    labels : where the labels are; None: in the same folder or zip
    InputError for no images, a label file without an image, two label files of one image, two images of one name, and
    labels that only Cellpose's pickle holds.
    """
    images = _images(members)
    if not images:
        msg = f"{str(members.path)!r} holds no TIFF or PNG images; {LAYOUT}."
        raise InputError(msg)
    if labels is None:
        folder = _label_folder(members)
        beside = [name for name in _inside(members, _folder_of(images)) if name not in images.values()]
        candidates = [LabelFile(members, name) for name in ([] if folder is None else _inside(members, folder))]
        others = [LabelFile(members, name) for name in beside if _is_beside(name, images)]
    else:
        folder = _label_folder(labels)
        candidates, others = [LabelFile(labels, name) for name in _inside(labels, folder or "")], []
        if not candidates:
            msg = f"{str(labels.path)!r} holds no label files (TIFF, PNG, GeoJSON, ROI zip); give their folder."
            raise InputError(msg)
    found = _assign(images, candidates, str(members.path), strict=True)
    for name, file in _assign(images, others, str(members.path), strict=False).items():
        if name in found:
            raise _twice(name, found[name].name, file.name)
        found[name] = file
    _check_pickles(members if labels is None else labels, images, found)
    return Layout(members, images, {name: found[name] for name in images if name in found})


def _images(members: Members) -> dict[str, str]:
    """Name -> member, of the pictures that are no label of another one."""
    folder = IMAGES if any(name.startswith(f"{IMAGES}/") for name in members.names) else ""
    pictures: dict[str, str] = {}
    for name in _inside(members, folder):
        if PurePosixPath(name).suffix.lower() not in PICTURES:
            continue
        stem = stem_of(name)
        if stem in pictures:
            msg = f"{pictures[stem]!r} and {name!r} have the same stem; rename one of them and its partner."
            raise InputError(msg)
        pictures[stem] = name
    return {stem: name for stem, name in sorted(pictures.items()) if not base_of(stem, pictures)}


def _folder_of(images: Mapping[str, str]) -> str:
    parent = str(PurePosixPath(next(iter(images.values()))).parent)
    return "" if parent == "." else parent


def _label_folder(members: Members) -> str | None:
    """The sub-folder of labels, FOLDERS[0] before the others; None where there is none."""
    present = [folder for folder in FOLDERS if any(_is_label(name) for name in _inside(members, folder))]
    if len(present) > 1 and present[0] != FOLDERS[0]:
        msg = (
            f"{str(members.path)!r} holds {present[0]}/ and {present[1]}/; say which one teaches: "
            "folder:PATH?from=DIR, or --labels DIR."
        )
        raise InputError(msg)
    return present[0] if present else None


def _inside(members: Members, folder: str) -> Iterator[str]:
    """The files that are directly in a folder."""
    for name in members.names:
        parent = str(PurePosixPath(name).parent)
        if (not name.endswith("/") or name[:-1].lower().endswith(IMAGE_FOLDERS)) and (
            "" if parent == "." else parent
        ) == folder:
            yield name


def _is_label(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in (*PICTURES, *OUTLINES)


def _is_beside(name: str, images: Mapping[str, str]) -> bool:
    """Whether a file next to the images is a label: outlines with an image's name, or a picture with a suffix."""
    stem = stem_of(name)
    regions = PurePosixPath(name).suffix.lower() in OUTLINES and stem in images
    return _is_label(name) and (regions or base_of(stem, images) is not None)


def _assign(images: Mapping[str, str], files: list[LabelFile], where: str, strict: bool) -> dict[str, LabelFile]:
    """Image name -> label file. strict : a label file without an image is an error"""
    found: dict[str, LabelFile] = {}
    alone: list[str] = []
    for file in files:
        if not _is_label(file.name):
            continue
        stem = stem_of(file.name)
        name = stem if stem in images else base_of(stem, images)
        if name is None:
            alone.append(stem)
        elif name in found:
            raise _twice(name, found[name].name, file.name)
        else:
            found[name] = file
    if strict and alone:
        msg = f"{len(alone)} label image(s) in {where!r} have no image (first: {min(alone)!r}); {LAYOUT}."
        raise InputError(msg)
    return found


def _twice(name: str, one: str, other: str) -> InputError:
    return InputError(f"{name!r} has two labels, {one!r} and {other!r}; remove one of them.")


def _check_pickles(members: Members, images: Mapping[str, str], found: Mapping[str, LabelFile]) -> None:
    for name in members.names:
        if name.lower().endswith(f"_seg{PICKLE}"):
            image = PurePosixPath(name).name[: -len(f"_seg{PICKLE}")]
            if image in images and image not in found:
                msg = (
                    f"The labels of {image!r} are in {name!r} alone, a pickle of Python objects, which could run code "
                    f"and is not opened; in Cellpose choose File > Save masks as PNG/tif, which writes "
                    f"{image}_cp_masks.png or .tif."
                )
                raise InputError(msg)
