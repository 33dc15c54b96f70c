"""Panoptic quality: how many objects are found, and how well each is outlined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import Metric
from .._overlap import panoptic_quality

if TYPE_CHECKING:
    from .. import Comparison, Parts


class PanopticQuality(Metric):
    """See runtime.metrics.Metric."""

    name = "panoptic_quality"
    title = "PQ"
    definition = (
        "PQ: sum of the IoU of matched objects / (TP + FP / 2 + FN / 2) (Kirillov et al. 2019);"
        " labelled objects of any size count, and match at IoU > 0.5"
    )
    objects = True

    def parts(self, image: Comparison) -> Parts:
        """Objects found, invented and missed, and the summed IoU of those found."""
        counts, ious = image.matches
        return counts.tp, counts.fp, counts.fn, float(ious.sum())

    def of_image(self, parts: Parts) -> float:
        """In [0, 1]."""
        return panoptic_quality(*parts)

    def pooled(self, sums: Parts) -> float:
        """In [0, 1]."""
        return panoptic_quality(*sums)


METRIC = PanopticQuality()
