"""What one artefact is worth: overlap with labels, and agreement with the reference that it carries.

Overlap is defined in `runtime.overlap`, for all packages. An image without objects counts 1.0 where nothing
was found in it, and 0.0 where something was.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from runtime import open_artifact, overlap
from runtime.boundary import TOLERANCE, boundary_f1, outline
from runtime.probes import replay
from runtime.records import Record

from .figures import Agreement, Figure, ImageScore, Picture, Quality
from .pictures import BLUE, ORANGE, overlay, write_pictures
from .source import Content, Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from runtime import Segmentation, Segmenter
    from runtime.artifact import Artifact

    from .measurement import Job

EMPTY = "an image without objects scores 1 where none is found, else 0"
OBJECTS = "labelled objects of any size; found: IoU > 0.5"
PROTOCOL = {
    "dice": f"Dice is the mean over images; pooled: of all pixels together; {EMPTY}",
    "iou": f"IoU is the mean over images; pooled: of all pixels together; {EMPTY}",
    "boundary_f1": (
        f"F1 of the outlines, near: within {TOLERANCE:g} pixels (Csurka et al. 2013), the mean over images; the "
        "image's border is no outline; where neither mask has one, 1 if they are equal; where one alone has, 0"
    ),
    "hd95_px": (
        "the larger of the two 95th percentiles of the distances from one outline to the other, in pixels, the mean "
        "over the images where both masks have an outline; where neither has one and they are equal, 0"
    ),
    "object_f1": f"F1 of objects, 2 TP / (2 TP + FP + FN), pooled over the objects of all images; {OBJECTS}",
    "object_ap": f"AP pools the objects of all images, TP / (TP + FP + FN); {OBJECTS}",
    "panoptic_quality": (
        f"sum of the IoU of found objects / (TP + FP / 2 + FN / 2) (Kirillov et al. 2019), pooled over the objects of "
        f"all images; {OBJECTS}"
    ),
    "count_error": "|objects found - objects labelled|, the mean over images; pooled: signed, of all labelled objects",
}
WORST = 3  # images shown
PICTURE = 384  # pixels of the longer side, at most
GREYS = 30  # of the palette, beside the two colours of outlines: a quarter of the bytes of a picture in full colour
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
        content, worst = Content(), Worst()
        images = [score for field in job.source if (score := _score(segment, field, job, content, worst))]
        quality = summarize(images, job.source.labels or "", worst.pictures) if images else None
        stand_in = segment.backend != segment.manifest.backend
        return Score(segment.backend, stand_in, dict(segment.description), agreement, quality, content.sha256())


class Worst:
    """The images with the lowest Dice so far, as pictures: a picture is drawn of those alone that belong to them."""

    def __init__(self) -> None:
        self.pictures: tuple[Picture, ...] = ()

    def see(self, score: ImageScore, field: Field, result: Segmentation) -> None:
        """Take in one image."""
        if len(self.pictures) < WORST or score.dice < self.pictures[-1].dice:
            picture = draw(score, field, result.labels())
            self.pictures = tuple(sorted((*self.pictures, picture), key=lambda p: (p.dice, p.image))[:WORST])


def draw(score: ImageScore, field: Field, labels: NDArray[np.int32]) -> Picture:
    """The outlines as a small PNG in base64. Every n-th pixel is taken before they are drawn: they stay crisp."""
    step = -(-max(labels.shape) // PICTURE)
    small = Field(
        field.name, field.frame[::step, ::step], None if field.labels is None else field.labels[::step, ::step]
    )
    image = overlay(small, labels[::step, ::step], enlarge=False)
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(255 * level // (GREYS - 1) for level in range(GREYS) for _ in range(3)), *ORANGE, *BLUE])
    buffer = BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return Picture(score.name, score.dice, image.width, image.height, b64encode(buffer.getvalue()).decode("ascii"))


def replay_probes(segment: Segmenter, artifact: Artifact) -> Agreement:
    """Run the artefact's own probes and compare with the outputs that it carries."""
    manifest = artifact.manifest
    probes = artifact.probes()
    found = replay(segment.run_tile, probes, manifest.threshold, manifest.channels.index("foreground"))
    within = not found.misses(manifest.tolerance)
    return Agreement(len(probes), found.mask_dice, found.probability_max, found.probability_mean, within)


def _score(segment: Segmenter, field: Field, job: Job, content: Content, worst: Worst) -> ImageScore | None:
    content.add(field)
    result = segment(field.frame)
    if job.pictures:
        write_pictures(Path(job.pictures), job.name, field, result)
    if field.labels is None:
        return None
    score = score_image(field.name, field.labels, result)
    worst.see(score, field, result)
    return score


def score_image(name: str, labels: np.ndarray, result: Segmentation) -> ImageScore:
    """Count pixels and objects, and compare outlines. labels : int32 (H, W), 0 is background"""
    truth, mask = labels > 0, result.mask
    pixels = overlap.confusion(truth, mask)
    objects, ious = overlap.matched_objects(labels, result.labels())
    return ImageScore(
        name=name,
        dice=overlap.dice_of(*pixels),
        pixels=pixels,
        objects=(objects.tp, objects.fp, objects.fn),
        boundary_f1=boundary_f1(mask, truth),
        hd95_px=hd95(mask, truth),
        matched_iou=float(ious.sum()),
    )


def hd95(mask: NDArray[np.bool_], truth: NDArray[np.bool_], percent: float = 95.0) -> float | None:
    """The larger of the two 95th percentiles of the distances in pixels from one mask's outline to the other's.

    Of two masks without an outline 0.0 if they are equal; None where one alone has none, or they are not.
    """
    from scipy.ndimage import distance_transform_edt

    found, true = outline(mask), outline(truth)
    if not found.any() or not true.any():
        return 0.0 if np.array_equal(mask, truth) else None
    there, back = (np.asarray(distance_transform_edt(~to))[of] for of, to in ((found, true), (true, found)))
    return max(float(np.percentile(there, percent)), float(np.percentile(back, percent)))


def summarize(images: Sequence[ImageScore], labels: str, worst: tuple[Picture, ...] = ()) -> Quality:
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
        boundary_f1=_known(image.boundary_f1 for image in images),
        hd95_px=_known(image.hd95_px for image in images),
        object_f1=figure((overlap.dice_of(*image.objects) for image in images), overlap.dice_of(*objects)),
        object_ap=figure((overlap.iou_of(*image.objects) for image in images), overlap.iou_of(*objects)),
        panoptic_quality=_panoptic(images, objects),
        count_error=figure((abs(image.count_error) for image in images), count_off),
        images=tuple(images),
        worst=worst,
    )


def _panoptic(images: Sequence[ImageScore], objects: tuple[int, int, int]) -> Figure | None:
    sums = [image.matched_iou for image in images if image.matched_iou is not None]
    if len(sums) < len(images):
        return None
    each = (overlap.panoptic_quality(*image.objects, iou) for image, iou in zip(images, sums, strict=True))
    return figure(each, overlap.panoptic_quality(*objects, sum(sums)))


def _known(values: Iterable[float | None]) -> Figure | None:
    """Over the images that have the figure."""
    known = [value for value in values if value is not None]
    return figure(known, None) if known else None


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
