"""F1 of outlines (Csurka et al. 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .._outline import boundary_f1

if TYPE_CHECKING:
    from .. import Comparison, Parts


@dataclass(frozen=True)
class BoundaryF1:
    """See runtime.metrics.Metric."""

    name: str = "boundary_f1"
    title: str = "boundary F1"
    definition: str = (
        "Boundary F1: F1 of the outlines of mask and labels within 2 pixels (Csurka et al. 2013), the mean over "
        "images; the border of the image is no outline; where neither has one, 1 if both are equal, else 0"
    )
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""
    decimals: int = 4
    objects: bool = False

    def parts(self, image: Comparison) -> Parts:
        """The value itself; it has no sums."""
        return (boundary_f1(image.predicted, image.expected),)

    def of_image(self, parts: Parts) -> float:
        """In [0, 1]."""
        return parts[0]

    def pooled(self, sums: Parts) -> None:
        """It is only averaged."""


METRIC = BoundaryF1()
