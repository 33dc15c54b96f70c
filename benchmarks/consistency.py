"""Whether a report's figures follow from the samples in it: who invents a figure and its digest is found out, too."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from runtime import overlap

from .latency import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .figures import Figure, Quality, Timing
    from .latency import Latency
    from .report import Report

CLOSE = 1e-6  # relative: libraries of another version may round otherwise


def contradictions(report: Report) -> Iterator[str]:
    """What does not fit, by the field's path; nothing for a report as it was measured."""
    for index, row in enumerate(report.rows):
        if row.timing:
            yield from (f"rows[{index}].timing.{name}" for name in _timing(row.timing))
        if row.quality:
            yield from (f"rows[{index}].quality.{name}" for name in _quality(row.quality))
            if len(row.quality.images) != report.data.images:
                yield f"rows[{index}].quality.images: {len(row.quality.images)} of {report.data.images}"


def _timing(timing: Timing) -> Iterator[str]:
    for name in ("tile_ms", "frame_ms"):
        samples = [ms for one in timing.rounds for ms in getattr(one, name)]
        if not samples or min(samples) < 0 or not _same(getattr(timing, name), summarize(samples)):
            yield name


def _quality(quality: Quality) -> Iterator[str]:
    images = quality.images
    if not images:
        yield "images"
        return
    for image in images:
        if min(*image.pixels, *image.objects) < 0 or not _near(image.dice, overlap.dice_of(*image.pixels)):
            yield f"images, {image.name}"
    pixels = [sum(column) for column in zip(*(image.pixels for image in images), strict=True)]
    objects = [sum(column) for column in zip(*(image.objects for image in images), strict=True)]
    each = {
        "dice": ([image.dice for image in images], overlap.dice_of(*pixels)),
        "iou": ([overlap.iou_of(*image.pixels) for image in images], overlap.iou_of(*pixels)),
        "object_f1": ([overlap.dice_of(*image.objects) for image in images], overlap.dice_of(*objects)),
        "object_ap": ([overlap.iou_of(*image.objects) for image in images], overlap.iou_of(*objects)),
    }
    for name, (values, pooled) in each.items():
        found: Figure = getattr(quality, name)
        if not _near(found.mean, fmean(values)) or not _near(found.pooled, pooled):
            yield name


def _same(found: Latency, due: Latency) -> bool:
    return all(_near(one, other) for one, other in zip(_values(found), _values(due), strict=True))


def _values(latency: Latency) -> tuple[float | None, ...]:
    middle = (latency.p50, latency.p90, latency.p95, latency.p99)
    return (latency.count, *middle, latency.max, latency.mean, latency.sd, latency.mad, latency.iqr)


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-9)
