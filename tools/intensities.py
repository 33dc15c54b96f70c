"""`python -m tools.intensities ARTIFACT --data SPEC...`: spoil the intensities of labelled images, and segment them.

For each way of spoiling: the mean Dice of the mask, how far it is below that of the unspoilt image, how many images
lose more than a point, how many of these have no flag at all, and the flags. Debris and the 3 pixels around it do not
count; a border counts as background. The first row is the unspoilt images: its flags are false ones.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import ndimage

from runtime import Segmenter
from runtime.commands import command_line

Image = NDArray[Any]  # (H, W), uint8 or uint16
Where = NDArray[np.bool_]  # (H, W)
POINT = 0.01
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Spoilt(NamedTuple):
    """The image, where it counts, and where it shows the sample no more; None: everywhere, nowhere."""

    image: Image
    counts: Where | None = None
    filled: Where | None = None


Spoil = Callable[[Image, np.random.Generator], Spoilt]


@dataclass
class SpoiltRow:
    """One way of spoiling: Dice of the unspoilt and of the spoilt images, and the flags of the latter."""

    clean: list[float] = field(default_factory=list[float])
    spoilt: list[float] = field(default_factory=list[float])
    flags: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def add(self, clean: float, spoilt: float, flags: tuple[str, ...]) -> None:
        self.clean.append(clean)
        self.spoilt.append(spoilt)
        self.flags.append(flags)

    @property
    def worse(self) -> list[tuple[str, ...]]:
        """The flags of the images that lose more than a point."""
        return [flags for a, b, flags in zip(self.clean, self.spoilt, self.flags, strict=True) if a - b > POINT]

    def markdown(self, name: str) -> str:
        drop = 100 * (np.mean(self.clean) - np.mean(self.spoilt))
        counts = Counter(flag for flags in self.flags for flag in flags)
        words = ", ".join(f"{flag} {count}" for flag, count in counts.most_common()) or "-"
        silent = sum(not flags for flags in self.worse)
        return f"| {name} | {np.mean(self.spoilt):.3f} | {drop:.1f} | {len(self.worse)} | {silent} | {words} |"


def ceiling(image: Image) -> int:
    """The most that the image's type can hold."""
    return int(np.iinfo(image.dtype).max)


def deep(image: Image) -> Image:
    """8 bits as 12 bits in 16."""
    return image.astype(np.uint16) * 16 if image.dtype == np.uint8 else image


def border(share: float, sides: str, level: float = 0.0) -> Spoil:
    """Overwrite a share of the image: of "one" side, "all" sides, or the "corners"; level : 0 to 1."""

    def spoil(image: Image, rng: np.random.Generator) -> Spoilt:
        (height, width), filled = image.shape, np.zeros(image.shape, bool)
        rows, cols = np.mgrid[:height, :width]
        if sides == "one":
            turned = np.rot90(filled, int(rng.integers(4)))
            turned[: max(1, round(share * len(turned)))] = True
        elif sides == "all":
            edge = (1 - np.sqrt(1 - share)) / 2
            filled |= np.minimum(rows, height - 1 - rows) < max(1, edge * height)
            filled |= np.minimum(cols, width - 1 - cols) < max(1, edge * width)
        else:
            away = np.abs(2 * rows + 1 - height) / height + np.abs(2 * cols + 1 - width) / width
            filled |= away > np.quantile(away, 1 - share)
        values = np.where(filled, round(level * ceiling(image)), image)
        return Spoilt(values.astype(image.dtype), filled=filled)

    return spoil


def debris(share: float, times: float, blur: float = 0.0) -> Spoil:
    """Specks of 2 to 8 pixels, `times` to 1.5 times that as bright as the brightest pixel, over at least a share."""

    def spoil(image: Image, rng: np.random.Generator) -> Spoilt:
        light, specks = deep(image).astype(np.float64), np.zeros(image.shape, bool)
        rows, cols = np.mgrid[: image.shape[0], : image.shape[1]]
        while specks.mean() < share:
            row, col = rng.uniform((0, 0), image.shape)
            high, wide, angle = *rng.uniform(2, 8, 2), rng.uniform(0, np.pi)
            along = (rows - row) * np.cos(angle) + (cols - col) * np.sin(angle)
            across = (cols - col) * np.cos(angle) - (rows - row) * np.sin(angle)
            specks |= (along / high) ** 2 + (across / wide) ** 2 <= 1
        level = light.max() * times * rng.uniform(1, 1.5, image.shape)
        light += ndimage.gaussian_filter(np.where(specks, np.maximum(level - light, 0), 0), blur)
        near = np.asarray(ndimage.binary_dilation(specks, iterations=3), bool)
        return Spoilt(light.round().clip(0, 65535).astype(np.uint16), counts=~near)

    return spoil


def hot_pixels(share: float) -> Spoil:
    def spoil(image: Image, rng: np.random.Generator) -> Spoilt:
        return Spoilt(np.where(rng.random(image.shape) < share, 65535, deep(image)).astype(np.uint16))

    return spoil


def each(change: Callable[[Image], Image]) -> Spoil:
    """A change that needs no chance."""
    return lambda image, _: Spoilt(change(image))


def offset(image: Image) -> Image:
    values = deep(image).astype(np.int64)
    return (values * min(1.0, 30000 / max(1, int(values.max()))) + 32768).round().astype(np.uint16)


def inverted(image: Image) -> Image:
    return image.max() - image


def haze(strength: float) -> Spoil:
    """A smooth veil, up to `strength` times the range of the image."""

    def spoil(image: Image, rng: np.random.Generator) -> Spoilt:
        zoom = [side / 4 for side in image.shape]
        veil = np.asarray(ndimage.zoom(rng.random((4, 4)), zoom, order=3, mode="nearest", grid_mode=True)).clip(0, 1)
        low, high = np.percentile(image, (0.1, 99.8))
        veiled = image + strength * (high - low) * veil[: image.shape[0], : image.shape[1]]
        return Spoilt(veiled.round().clip(0, ceiling(image)).astype(image.dtype))

    return spoil


def vignette(depth: float) -> Spoil:
    """The light falls off by `depth` towards the corners; the camera's offset stays."""

    def change(image: Image) -> Image:
        rows, cols = np.mgrid[: image.shape[0], : image.shape[1]]
        distance = (2 * rows / image.shape[0] - 1) ** 2 + (2 * cols / image.shape[1] - 1) ** 2
        low = np.percentile(image, 0.1)
        return (low + (image - low) * (1 - depth * distance / 2)).round().clip(0).astype(image.dtype)

    return each(change)


def bright_field(image: Image, rng: np.random.Generator) -> Spoilt:
    """Nuclei that absorb light, with dark rims, and photon noise."""
    low, high = np.percentile(image, (0.1, 99.8))
    dye = ((image - low) / max(1.0, high - low)).clip(0, 1)
    rim = ndimage.gaussian_gradient_magnitude(dye, 1)
    light = np.exp(-0.5 * dye - 0.8 * rim / max(1e-9, rim.max()))
    return Spoilt(rng.poisson(3000 * light).astype(np.uint16))


SPOILT: Mapping[str, Spoil] = {
    "unspoilt": each(lambda image: image),
    **{
        f"{where}, {100 * share:g} %": border(share, sides)
        for sides, where in {"one": "black border, one side", "all": "all sides", "corners": "black corners"}.items()
        for share in (0.02, 0.1, 0.3)
    },
    "white border, all sides, 10 %": border(0.1, "all", 1.0),
    "grey border, one side, 10 %": border(0.1, "one", 0.3),
    **{
        f"debris {100 * share:g} %, x{times}": debris(share, times)
        for share in (0.001, 0.003, 0.01)
        for times in (2, 5)
    },
    "blurred debris 1 %, x5": debris(0.01, 5, 1.0),
    "hot pixels 0.1 %": hot_pixels(0.001),
    "hot pixels 1 %": hot_pixels(0.01),
    "offset of 32,768": each(offset),
    "12 bits in 16": each(deep),
    "inverted": each(inverted),
    "haze 0.25": haze(0.25),
    "haze 0.5": haze(0.5),
    "vignetting 0.3": vignette(0.3),
    "vignetting 0.6": vignette(0.6),
    "bright field": bright_field,
}


def measure(
    segment: Callable[[Image], Any],
    images: Iterable[tuple[Image, NDArray[np.int32]]],
    spoilt: Mapping[str, Spoil] = SPOILT,
) -> dict[str, SpoiltRow]:
    """segment : a Segmenter; images : (H, W) uint8 or uint16 and their labels."""
    rows = {name: SpoiltRow() for name in spoilt}
    for number, (image, labels) in enumerate(images):
        clean = segment(image).mask
        for name, spoil in spoilt.items():
            changed, counts, filled = spoil(image, np.random.default_rng(number))
            result = segment(changed)
            counts = np.ones(image.shape, bool) if counts is None else counts
            shown = counts if filled is None else counts & ~filled
            truth = (labels > 0) & shown
            rows[name].add(dice(clean & shown, truth), dice(result.mask & counts, truth), result.flags)
    return rows


def dice(mask: Where, truth: Where) -> float:
    """1 where both are empty."""
    both = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / both if both else 1.0


@app.command()
def spoil_and_segment(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT")],
    data: Annotated[list[str], typer.Option(help="Labelled images, e.g. folder:PATH; may be repeated.")],
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "all",
    every: Annotated[int, typer.Option(metavar="N", help="Take one image in N.")] = 1,
) -> None:
    """Print the table, as Markdown."""
    from distill import datasets

    def images() -> Iterator[tuple[Image, NDArray[np.int32]]]:
        for spec in data:
            opened = datasets.open(spec, split)
            for i in range(0, len(opened), every):
                sample = opened[i]
                yield sample.frame, sample.labels["nuclei"]

    with Segmenter.open(artifact) as segment:
        rows = measure(segment, images())
    typer.echo(f"{len(next(iter(rows.values())).clean)} images\n")
    typer.echo("| intensities | Dice | points lost | images that lose over 1 | of these without flag | flags |")
    typer.echo("|---|---:|---:|---:|---:|---|")
    for name, row in rows.items():
        typer.echo(row.markdown(name))


if __name__ == "__main__":
    sys.exit(command_line.run(lambda: app, "tools.intensities", "compile", sys.argv[1:]))
