"""F1 of outlines (Csurka et al. 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import Metric
from .._outline import boundary_f1

if TYPE_CHECKING:
    from .. import Comparison, Parts


class BoundaryF1(Metric):
    """See runtime.metrics.Metric."""

    name = "boundary_f1"
    title = "boundary F1"
    definition = (
        "Boundary F1: F1 of the outlines of mask and labels within 2 pixels (Csurka et al. 2013), the mean over "
        "images; the border of the image is no outline; where neither has one, 1 if both are equal, else 0"
    )
    decimals = 4

    def parts(self, image: Comparison) -> Parts:
        """The value itself; it has no sums."""
        return (boundary_f1(image.predicted, image.expected),)

    def of_image(self, parts: Parts) -> float:
        """In [0, 1]."""
        return parts[0]


METRIC = BoundaryF1()
