"""The row that every student must beat: Otsu's threshold of the nucleus, dilated.

Where cells are a little wider than their nuclei, that is a good guess of the whole cell; a student that does not beat
it has learnt nothing. The radius is the best one on the training images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from runtime.overlap import dice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.datasets import Sample


def best_radius(samples: Sequence[Sample], labels: str, radii: Sequence[int]) -> int:
    """The radius in pixels of the best mean Dice; the smallest of several."""
    return max(
        radii,
        key=lambda radius: (
            np.mean([dice(threshold_and_dilate(s, radius) > 0.5, s.labels[labels] > 0) for s in samples]),
            -radius,
        ),
    )


def threshold_and_dilate(sample: Sample, radius: float) -> NDArray[np.float32]:
    """float32 (H, W), 0 and 1: pixels within `radius` of one that is brighter than Otsu's threshold (1979)."""
    frame = sample.frame
    if frame.min() == frame.max():
        return np.zeros(frame.shape, np.float32)
    distance = ndimage.distance_transform_edt(frame <= threshold_otsu(frame))
    return (distance <= radius).astype(np.float32)
