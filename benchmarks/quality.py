"""What one artefact is worth: overlap with labels, and agreement with the reference that it carries.

Overlap is defined in `runtime.overlap`, for all packages. An image without objects counts 1.0 where nothing
was found in it, and 0.0 where something was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from runtime import open_artifact, overlap
from runtime.probes import replay
from runtime.records import Record

from .figures import Agreement, Figure, ImageScore, Quality
from .pictures import write_pictures
from .source import Content

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime import Segmentation, Segmenter
    from runtime.artifact import Artifact

    from .measurement import Job
    from .source import Field

EMPTY = "an image without objects scores 1 where none is found, else 0"
OBJECTS = "labelled objects of any size; found: IoU > 0.5"
PROTOCOL = {
    "dice": f"Dice is the mean over images; pooled: of all pixels together; {EMPTY}",
    "iou": f"IoU is the mean over images; pooled: of all pixels together; {EMPTY}",
    "object_f1": f"F1 of objects, 2 TP / (2 TP + FP + FN), pooled over the objects of all images; {OBJECTS}",
    "object_ap": f"AP pools the objects of all images, TP / (TP + FP + FN); {OBJECTS}",
    "count_error": "|objects found - objects labelled|, the mean over images; pooled: signed, of all labelled objects",
}
RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Score(Record):
    """What one process found: which backend ran, on the target or in its stead, and how good it was."""

    backend: str
    stand_in: bool
    description: Mapping[str, str]
    agreement: Agreement
    quality: Quality | None
    content: str


def score_artifact(job: Job) -> Score:
    """Replay the probes, then segment every image, with pictures if asked for."""
    with job.open() as segment:
        agreement = replay_probes(segment, open_artifact(Path(job.artifact)))
        content = Content()
        images = [score for field in job.source if (score := _score(segment, field, job, content))]
        quality = summarize(images, job.source.labels or "") if images else None
        stand_in = segment.backend != segment.manifest.backend
        return Score(segment.backend, stand_in, dict(segment.description), agreement, quality, content.sha256())


def replay_probes(segment: Segmenter, artifact: Artifact) -> Agreement:
    """Run the artefact's own probes and compare with the outputs that it carries."""
    manifest = artifact.manifest
    probes = artifact.probes()
    found = replay(segment.run_tile, probes, manifest.threshold, manifest.channels.index("foreground"))
    within = not found.misses(manifest.tolerance)
    return Agreement(len(probes), found.mask_dice, found.probability_max, found.probability_mean, within)


def _score(segment: Segmenter, field: Field, job: Job, content: Content) -> ImageScore | None:
    content.add(field)
    result = segment(field.frame)
    if job.pictures:
        write_pictures(Path(job.pictures), job.name, field, result)
    return None if field.labels is None else score_image(field.name, field.labels, result)


def score_image(name: str, labels: np.ndarray, result: Segmentation) -> ImageScore:
    """Count pixels and objects. labels : int32 (H, W), 0 is background"""
    pixels = overlap.confusion(labels > 0, result.mask)
    objects = overlap.match_objects(labels, result.labels())
    return ImageScore(name, overlap.dice_of(*pixels), pixels, (objects.tp, objects.fp, objects.fn), None, None, None)


def summarize(images: Sequence[ImageScore], labels: str) -> Quality:
    """Means over images and figures pooled over all of them; at least one image."""
    pixels = _summed(image.pixels for image in images)
    objects = _summed(image.objects for image in images)
    labelled = objects[0] + objects[2]
    count_off = (objects[1] - objects[2]) / labelled if labelled else None
    return Quality(
        labels=labels,
        protocol=PROTOCOL,
        dice=figure((image.dice for image in images), overlap.dice_of(*pixels)),
        iou=figure((overlap.iou_of(*image.pixels) for image in images), overlap.iou_of(*pixels)),
        boundary_f1=None,
        hd95_px=None,
        object_f1=figure((overlap.dice_of(*image.objects) for image in images), overlap.dice_of(*objects)),
        object_ap=figure((overlap.iou_of(*image.objects) for image in images), overlap.iou_of(*objects)),
        panoptic_quality=None,
        count_error=figure((abs(image.count_error) for image in images), count_off),
        images=tuple(images),
        worst=(),
    )


def figure(values: Iterable[float], pooled: float | None) -> Figure:
    """Mean and interval over images; at least one."""
    array = np.array(list(values), np.float64)
    return Figure(float(array.mean()), bootstrap(array), pooled, len(array))


def bootstrap(values: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean over images, by resampling images; None for fewer than five."""
    if len(values) < 5:
        return None
    picks = np.random.default_rng(SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def _summed(counts: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    tp, fp, fn = map(sum, zip(*counts, strict=True))
    return tp, fp, fn
