"""Metrics that are one formula of counts: of pixels, or of objects that match at an IoU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import Comparison, Parts

EMPTY = "an image without objects scores 1 where none is found, else 0"
MATCHED = "labelled objects of any size count, and match at IoU > 0.5"


@dataclass(frozen=True)
class Counted(Metric):
    """See runtime.metrics.Metric.

    formula : true positives, false positives and false negatives to a value in [0, 1]
    iou : objects match above it; at least 0.5
    """

    name: str
    title: str
    definition: str
    formula: Callable[[float, float, float], float]
    objects: bool = False
    decimals: int = 4
    iou: float = 0.5

    def parts(self, image: Comparison) -> Parts:
        """True positives, false positives and false negatives."""
        if not self.objects:
            return image.pixels
        counts, ious = image.matches
        tp = int(np.count_nonzero(ious > self.iou))
        return tp, counts.fp + counts.tp - tp, counts.fn + counts.tp - tp

    def of_image(self, parts: Parts) -> float:
        """In [0, 1]."""
        return self.formula(*parts)

    def pooled(self, sums: Parts) -> float:
        """In [0, 1]."""
        return self.formula(*sums)
