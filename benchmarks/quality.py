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

from .pictures import write_pictures
from .report import Agreement, ImageScore, Quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runtime import Segmentation, Segmenter
    from runtime.artifact import Artifact

    from .measurement import Job
    from .source import Field

PROTOCOL = (
    "Dice is the mean over images; AP pools the objects of all images, TP / (TP + FP + FN) at IoU > 0.5, labelled "
    "objects of any size; an image without objects scores 1 where none is found, else 0"
)
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


def score_artifact(job: Job) -> Score:
    """Replay the probes, then segment every image, with pictures if asked for."""
    with job.open() as segment:
        agreement = replay_probes(segment, open_artifact(Path(job.artifact)))
        images = [score for field in job.source if (score := _score(segment, field, job))]
        quality = summarize(images, job.source.labels or "") if images else None
        stand_in = segment.backend != segment.manifest.backend
        return Score(segment.backend, stand_in, dict(segment.description), agreement, quality)


def replay_probes(segment: Segmenter, artifact: Artifact) -> Agreement:
    """Run the artefact's own probes and compare with the outputs that it carries."""
    manifest = artifact.manifest
    probes = artifact.probes()
    found = replay(segment.run_tile, probes, manifest.threshold, manifest.channels.index("foreground"))
    within = not found.misses(manifest.tolerance)
    return Agreement(len(probes), found.mask_dice, found.probability_max, found.probability_mean, within)


def _score(segment: Segmenter, field: Field, job: Job) -> ImageScore | None:
    result = segment(field.frame)
    if job.pictures:
        write_pictures(Path(job.pictures), job.name, field, result)
    return None if field.labels is None else score_image(field.name, field.labels, result)


def score_image(name: str, labels: np.ndarray, result: Segmentation) -> ImageScore:
    """Count pixels and objects. labels : int32 (H, W), 0 is background"""
    pixels = overlap.confusion(labels > 0, result.mask)
    objects = overlap.match_objects(labels, result.labels())
    return ImageScore(name, overlap.dice_of(*pixels), pixels, (objects.tp, objects.fp, objects.fn))


def summarize(images: Sequence[ImageScore], labels: str) -> Quality:
    """Means over images and figures pooled over all of them; at least one image."""
    dice = np.array([image.dice for image in images])
    return Quality(
        labels=labels,
        protocol=PROTOCOL,
        dice=float(dice.mean()),
        interval=bootstrap(dice),
        dice_pooled=overlap.dice_of(*_summed(image.pixels for image in images)),
        iou=_mean(overlap.iou_of(*image.pixels) for image in images),
        iou_pooled=overlap.iou_of(*_summed(image.pixels for image in images)),
        object_ap=_mean(overlap.iou_of(*image.objects) for image in images),
        object_ap_pooled=overlap.iou_of(*_summed(image.objects for image in images)),
        images=tuple(images),
    )


def bootstrap(values: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean over images, by resampling images; None for fewer than five."""
    if len(values) < 5:
        return None
    picks = np.random.default_rng(SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _summed(counts: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    tp, fp, fn = map(sum, zip(*counts, strict=True))
    return tp, fp, fn
