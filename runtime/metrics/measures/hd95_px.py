"""Distance of outlines: the 95th percentile of the Hausdorff distance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...system import extras
from .. import Metric
from .._outline import outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .. import Comparison, Parts


class Hausdorff95(Metric):
    """See runtime.metrics.Metric."""

    name = "hd95_px"
    title = "HD95 px"
    definition = (
        "HD95: the larger of the two 95th percentiles of the distances from one outline to the other, in pixels, the "
        "mean over the images where both masks have an outline; where neither has one and they are equal, 0"
    )
    better = "lower"
    unit = "px"
    decimals = 2

    def parts(self, image: Comparison) -> Parts:
        """The value itself, or NaN; it has no sums."""
        value = hd95(image.predicted, image.expected)
        return (float("nan") if value is None else value,)

    def of_image(self, parts: Parts) -> float | None:
        """In pixels; None where one mask alone has an outline."""
        return None if math.isnan(parts[0]) else parts[0]


def hd95(mask: NDArray[np.bool_], truth: NDArray[np.bool_], percent: float = 95.0) -> float | None:
    """The larger of the two 95th percentiles of the distances in pixels from one mask's outline to the other's.

    Of two masks without an outline 0.0 if they are equal; None where one alone has none, or they are not. Needs scipy.
    """
    distance = extras.load("scipy.ndimage", extra="bench").distance_transform_edt
    predicted, expected = outline(mask), outline(truth)
    if not predicted.any() or not expected.any():
        return 0.0 if np.array_equal(mask, truth) else None
    one, other = distance(~expected)[predicted], distance(~predicted)[expected]
    return max(float(np.percentile(one, percent)), float(np.percentile(other, percent)))


METRIC = Hausdorff95()
