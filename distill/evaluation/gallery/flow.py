"""student + images -> gallery: segment every image, examine it, and keep the worst. The main flow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from distill.evaluation.gallery.causes import Findings, examine
from distill.evaluation.gallery.figure import GalleryImage, draw
from distill.evaluation.gallery.words import sentence, to_markdown
from distill.evaluation.predict import seen
from runtime.frames.normalize import normalize
from runtime.objects.instances import label_all
from runtime.system.atomic import make_folder, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from distill.datasets import Sample
    from distill.networks.spec import StudentSpec
    from runtime.segmentation.result import Segmentation

PICTURE, PAGE, FIGURES = "gallery.png", "gallery.md", "gallery.json"


@dataclass(frozen=True)
class Gallery:
    """worst : the panels of the sheet, the worst first; everything : the findings of all images, in their order"""

    worst: tuple[GalleryImage, ...]
    everything: tuple[Findings, ...]


def gather(
    segment: Callable[[NDArray[Any]], Segmentation],
    spec: StudentSpec,
    samples: Iterable[Sample],
    labels: str,
    worst: int,
    progress: Callable[[], None] = lambda: None,
) -> Gallery:
    """Examine all samples. segment : what the student sees to its segmentation; labels : "nuclei" or "cells"."""
    panels: list[GalleryImage] = []
    everything: list[Findings] = []
    for sample in samples:
        panel = _look_at(segment(seen(sample, spec)), spec, sample, labels)
        everything.append(panel.findings)
        panels = sorted([*panels, panel], key=lambda one: one.findings.dice)[:worst]  # frames of the others are let go
        progress()
    return Gallery(tuple(panels), tuple(everything))


def _look_at(result: Segmentation, spec: StudentSpec, sample: Sample, labels: str) -> GalleryImage:
    found = label_all(result.probability, result.core, result.threshold, result.rule)
    frame, truth = normalize(sample.frame, spec.normalization), sample.labels[labels]
    return GalleryImage(examine(sample.name, frame, truth, found, result.rule.min_area), frame, truth > 0, found > 0)


def write(gallery: Gallery, title: str, folder: Path) -> None:
    """gallery.png, gallery.md and gallery.json into a folder, which is made where it is not there."""
    make_folder(folder)
    worst = [panel.findings for panel in gallery.worst]
    rows = [{**asdict(one), "cause": one.cause, "sentence": sentence(one)} for one in gallery.everything]
    write_bytes(folder / PICTURE, draw(gallery.worst, title))
    write_bytes(folder / PAGE, to_markdown(title, worst, gallery.everything, PICTURE).encode())
    write_bytes(folder / FIGURES, (json.dumps(rows, indent=2) + "\n").encode())
