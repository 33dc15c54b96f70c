"""Where people keep the labels of an image: one definition for training, and for programs that write corrections.

    images/NAME.tif + labels/NAME.tif       or another one of FOLDERS; or the images beside that folder
    NAME.tif + NAME_cp_masks.tif            side by side, with one of ENDINGS
    NAME.tif + NAME.geojson                 outlines, with or without one of ENDINGS

A label file is called as its image, with or without one of ENDINGS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .files import SUFFIXES, find_images, is_image_folder, stem_of

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

IMAGES = "images"
FOLDERS = ("labels", "masks", "label", "mask", "annotations", "rois")  # the first one goes before the others
ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label", "_seg", "_rois", "_roi", "-labels", "-mask")
OUTLINES = (".geojson", ".json", ".zip", ".roi")  # which are drawn into label images


def base_of(stem: str, images: Container[str]) -> str | None:
    """The one of the images that a stem with one of ENDINGS is a label of; None where it is of none."""
    for ending in ENDINGS:
        if stem.endswith(ending) and stem.removesuffix(ending) in images:
            return stem.removesuffix(ending)
    return None


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, or of images/ in it, by name, without the labels beside them.

    InputError where there is none.
    """
    inner = folder / IMAGES
    found = find_images([str(inner if inner.is_dir() else folder)])
    stems = {stem_of(path) for path in found}
    return [path for path in found if base_of(stem_of(path), stems) is None]


def label_of(image: Path) -> Path | None:
    """The label file of an image; None where there is none."""
    name = stem_of(image)
    folder = _label_folder(image)
    inside = [] if folder is None else _label_files(folder)
    beside = [path for path in _label_files(image.parent) if path != image]
    for path in inside:
        if name in (stem_of(path), base_of(stem_of(path), (name,))):
            return path
    for path in beside:
        is_outline = path.suffix.lower() in OUTLINES and stem_of(path) == name
        if is_outline or base_of(stem_of(path), (name,)):
            return path
    return None


def place_for(image: Path) -> Path:
    """Where labels of an image are written: in the folder of labels that there is, or in a new one, as TIFF."""
    folder = _label_folder(image) or _root(image) / FOLDERS[0]
    return folder / f"{stem_of(image)}.tif"


def _root(image: Path) -> Path:
    """The folder that the folder of labels is in."""
    return image.parent.parent if image.parent.name == IMAGES else image.parent


def _label_folder(image: Path) -> Path | None:
    folders = (_root(image) / name for name in FOLDERS)
    return next((folder for folder in folders if folder.is_dir() and _label_files(folder)), None)


def _label_files(folder: Path) -> list[Path]:
    known = (*SUFFIXES, *OUTLINES)
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in known and (path.is_file() or is_image_folder(path)) and not path.name.startswith(".")
    )
