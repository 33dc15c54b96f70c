"""Pictures to look at: the mask, the image with outlines, and one sheet of all of them side by side.

Colours are Okabe and Ito's, which remain distinct with every kind of colour vision: orange is the artefact,
blue the annotation.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.inputs.source import FieldOfView, ImageSource
from runtime import Segmentation
from runtime.artifact.manifest import Normalization
from runtime.frames.normalize import normalize
from runtime.system.atomic import make_folder

ORANGE = (230, 159, 0)
BLUE = (86, 180, 233)
BACKGROUND = (250, 250, 250)
INK = (40, 40, 40)
ENLARGE_UNDER = 512  # pixels of the shorter side: smaller images are drawn twice as large
CELL = 256  # pixels of one picture on the contact sheet
MARGIN = 12
CAPTION = 18
SHEET_ROWS = 12


def write_pictures(folder: Path, row: str, field: FieldOfView, result: Segmentation) -> None:
    """Write IMAGE-ROW-mask.png, at the frame's size, and IMAGE-ROW-overlay.png."""
    make_folder(folder)
    stem = f"{_file_name(field.name)}-{row}"
    Image.fromarray(result.mask.astype(np.uint8) * 255).save(folder / f"{stem}-mask.png")
    overlay(field, result.labels()).save(folder / f"{stem}-overlay.png")


def overlay(field: FieldOfView, labels: NDArray[np.int32], *, enlarge: bool = True) -> Image.Image:
    """The frame in grey with the outline of every object found (orange), and of every one annotated (blue).

    enlarge : draw small frames twice as large"""
    factor = 2 if enlarge and min(field.frame.shape) < ENLARGE_UNDER else 1
    grey = _enlarged((normalize(field.frame, Normalization()) * 255).astype(np.uint8), factor)
    picture = np.repeat(grey[..., None], 3, axis=2)
    if field.labels is not None:
        picture[outlines(_enlarged(field.labels, factor))] = BLUE
    picture[outlines(_enlarged(labels, factor))] = ORANGE
    return Image.fromarray(picture)


def outlines(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The pixels of objects that touch, up, down, left or right, another object or the background."""
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return (labels > 0) & np.logical_or.reduce([labels != neighbour for neighbour in neighbours])


def contact_sheet(folder: Path, source: ImageSource, rows: tuple[str, ...]) -> Path:
    """Write contact-sheet.png: a legend, and a line for each of the first images: frame, then an overlay per row."""
    fields = [field for field, _ in zip(source, range(SHEET_ROWS), strict=False)]
    columns = ("image", *rows)
    width = MARGIN + len(columns) * (CELL + MARGIN)
    top_of_cells = MARGIN + 2 * CAPTION
    height = top_of_cells + len(fields) * (CELL + CAPTION + MARGIN)
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    _legend(draw, font, labelled=any(field.labels is not None for field in fields))
    for column, title in enumerate(columns):
        draw.text((_left(column), MARGIN + CAPTION), title, INK, font)
    for line, field in enumerate(fields):
        top = top_of_cells + line * (CELL + CAPTION + MARGIN)
        draw.text((MARGIN, top + CELL + 2), field.name, INK, font)
        for column, picture in enumerate(_line(folder, field, rows)):
            sheet.paste(picture, (_left(column), top))
    path = folder / "contact-sheet.png"
    sheet.save(path)
    return path


def _legend(draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, *, labelled: bool) -> None:
    """What the colours of the outlines mean, in the first line of the sheet."""
    left = MARGIN
    entries = [(ORANGE, "outline of an object that the artefact found")]
    entries += [(BLUE, "outline of a labelled object, where it differs")] if labelled else []
    for colour, words in entries:
        draw.rectangle((left, MARGIN + 2, left + 12, MARGIN + 12), outline=colour, width=3)
        draw.text((left + 18, MARGIN), words, INK, font)
        left += round(18 + draw.textlength(words, font)) + 2 * MARGIN


def _line(folder: Path, field: FieldOfView, rows: tuple[str, ...]) -> list[Image.Image]:
    plain = overlay(FieldOfView(field.name, field.frame, None), np.zeros(field.frame.shape, np.int32))
    stem = _file_name(field.name)
    drawn = [Image.open(folder / f"{stem}-{row}-overlay.png").convert("RGB") for row in rows]
    return [_fitted(picture) for picture in (plain, *drawn)]


def _fitted(picture: Image.Image) -> Image.Image:
    """The picture, shrunk into a square cell."""
    scale = CELL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _left(column: int) -> int:
    return MARGIN + column * (CELL + MARGIN)


def _enlarged(pixels: NDArray, factor: int) -> NDArray:
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _file_name(name: str) -> str:
    """The name without what a file's name cannot hold."""
    return re.sub(r"[^\w.-]+", "_", name)
