"""How good a segmentation is: one file per metric in measures/, and the one definition of what they stand on.

A metric compares what was found in one image with the labels of that image. Every command that scores (evaluate,
study, compile, benchmarks) asks each metric here, so that a new one is a new file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..records import Record
from ..registry import Registry
from ._interval import RESAMPLES, interval, resamples
from ._outline import TOLERANCE, boundary_f1, outline
from ._overlap import (
    ObjectCounts,
    ObjectPairs,
    confusion,
    dice,
    dice_of,
    iou,
    iou_of,
    match_objects,
    match_pairs,
    matched_objects,
    panoptic_quality,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "HEADLINES",
    "RESAMPLES",
    "TOLERANCE",
    "Comparison",
    "Metric",
    "MetricScore",
    "ObjectCounts",
    "ObjectPairs",
    "boundary_f1",
    "confusion",
    "dice",
    "dice_of",
    "interval",
    "iou",
    "iou_of",
    "load",
    "match_objects",
    "match_pairs",
    "matched_objects",
    "names",
    "outline",
    "panoptic_quality",
    "parts_of",
    "resamples",
    "summarize",
]

Parts = tuple[float, ...]


class Metric:
    """Base of what a file in measures/ offers as METRIC.

    name : of its file, as it stands in JSON: "dice"; title : as it stands at the head of a column: "Dice"
    definition : formula, rules for empty images and source, in a sentence or two
    better : which of two values is the better one
    unit : what a value counts, e.g. "px"; empty for a share of 1; decimals : digits after the point in tables
    objects : whether it compares objects; else it compares masks, and is the same for every way of separating them
    """

    name: str
    title: str
    definition: str
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""
    decimals: int = 3
    objects: bool = False

    def parts(self, image: Comparison) -> Parts:
        """What one image adds to the sums over all images."""
        raise NotImplementedError

    def of_image(self, parts: Parts) -> float | None:
        """The value of one image; None where it has none, for example a distance to an outline that is not there."""
        raise NotImplementedError

    def pooled(self, sums: Parts) -> float | None:
        """The value of all images together, from the sums of their parts; None for a metric that is only averaged."""
        return None


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found in one image, and what is there; whatever several metrics need is computed once.

    labels, truth : integers (H, W), 0 is background
    mask : bool (H, W), the pixels that were called foreground; None: those of the labels
    """

    labels: NDArray[Any]
    truth: NDArray[Any]
    mask: NDArray[np.bool_] | None = None

    @cached_property
    def predicted(self) -> NDArray[np.bool_]:
        """bool (H, W): the foreground that was found."""
        return self.labels != 0 if self.mask is None else self.mask

    @cached_property
    def expected(self) -> NDArray[np.bool_]:
        """bool (H, W): the foreground of the labels."""
        return self.truth != 0

    @cached_property
    def pixels(self) -> tuple[int, int, int]:
        """True positives, false positives and false negatives among the pixels."""
        return confusion(self.expected, self.predicted)

    @cached_property
    def matches(self) -> tuple[ObjectCounts, NDArray[np.float64]]:
        """Objects counted at IoU > 0.5, and the IoU of each match."""
        return matched_objects(self.truth, self.labels)


@dataclass(frozen=True)
class MetricScore(Record):
    """One metric over several images.

    mean : over the images that have a value; interval : 95 % bootstrap of the mean, None for fewer than five images
    pooled : of all images together; None for a metric that is only averaged
    images : how many have a value
    """

    mean: float
    interval: tuple[float, float] | None
    pooled: float | None
    images: int


METRICS: Registry[Metric] = Registry("metrics", f"{__name__}.measures", "METRIC")
names, load = METRICS.names, METRICS.load
HEADLINES = ("dice", "ap50")  # what narrow tables show; the first one ranks images and models


def parts_of(image: Comparison) -> dict[str, Parts]:
    """What one image adds to every metric."""
    return {name: load(name).parts(image) for name in names()}


def summarize(images: Sequence[Mapping[str, Parts]]) -> dict[str, MetricScore]:
    """Every metric over images, from their parts_of; a metric that no image has a value of is left out."""
    scores: dict[str, MetricScore] = {}
    for name in sorted(set[str]().union(*images)):
        metric, parts = load(name), [image[name] for image in images if name in image]
        values = [value for value in map(metric.of_image, parts) if value is not None]
        if values:
            array = np.array(values, np.float64)
            sums = tuple(float(total) for total in np.sum(parts, axis=0))
            scores[name] = MetricScore(float(array.mean()), interval(array), metric.pooled(sums), len(values))
    return scores
