"""Metrics that are one formula of counts: of pixels, or of objects that match at IoU > 0.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import Comparison, Parts

EMPTY = "an image without objects scores 1 where none is found, else 0"
MATCHED = "labelled objects of any size count, and match at IoU > 0.5"


@dataclass(frozen=True)
class Counted:
    """See runtime.metrics.Metric. formula : true positives, false positives and false negatives to a value in [0, 1]"""

    name: str
    title: str
    definition: str
    formula: Callable[[float, float, float], float]
    objects: bool = False
    decimals: int = 4
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""

    def parts(self, image: Comparison) -> Parts:
        """True positives, false positives and false negatives."""
        counts = image.matches[0]
        return (counts.tp, counts.fp, counts.fn) if self.objects else image.pixels

    def of_image(self, parts: Parts) -> float:
        """In [0, 1]."""
        return self.formula(*parts)

    def pooled(self, sums: Parts) -> float:
        """In [0, 1]."""
        return self.formula(*sums)
