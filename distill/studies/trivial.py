"""The row that every student must beat: Otsu's threshold of the nucleus, dilated.

Where cells are a little wider than their nuclei, that is a good guess of the whole cell; a student that does not beat
it has learnt nothing. The radius is the best one on the training images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from runtime.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.datasets import Sample


def best_radius(samples: Sequence[Sample], labels: str, radii: Sequence[int]) -> int:
    """The radius in pixels of the best mean Dice; the smallest of several."""
    scores = []
    for sample in samples:
        distance, truth = distance_to_bright(sample), sample.labels[labels] > 0
        scores.append([dice(distance <= radius, truth) for radius in radii])
    means = np.mean(scores, axis=0)
    return max(zip(radii, means, strict=True), key=lambda pair: (pair[1], -pair[0]))[0]


def threshold_and_dilate(sample: Sample, radius: float) -> NDArray[np.float32]:
    """float32 (H, W), 0 and 1: pixels within `radius` of one that is brighter than Otsu's threshold (1979)."""
    return (distance_to_bright(sample) <= radius).astype(np.float32)


def distance_to_bright(sample: Sample) -> NDArray[np.float64]:
    """How far each pixel (H, W) is from one above Otsu's threshold of the frame; infinite in a constant frame."""
    frame = sample.frame
    if frame.min() == frame.max():
        return np.full(frame.shape, np.inf)
    distance = ndimage.distance_transform_edt(frame <= threshold_otsu(frame))
    assert isinstance(distance, np.ndarray)
    return distance
