"""Cross-entropy under the weight map of the U-Net (Ronneberger et al. 2015, arXiv 1505.04597, eq. 1 and 2).

w(x) = w_c(x) + w_0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), with w_0 = 10, sigma = 5 px, and d1, d2 the distances from x
to the nearest and the second nearest object; loss = mean w BCE(z, y) over the foreground's pixels of labelled crops.

- The second term stands on background pixels alone: it keeps the gap between neighbours open. Where objects touch
  without a gap there is no background to weight, and a foreground map cannot part them anyhow; the core output can.
- w_c balances the classes within the crop: 1 / (2 share of the class), at most 10.
- Where d1 + d2 exceeds 4 sigma, the term (below 0.0034 there) is 0, so that an object's distances are needed in a
  window around it and not in the whole crop.
- Objects outside the crop are not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch.nn.functional import binary_cross_entropy_with_logits

from distill.losses import Loss
from runtime.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from distill.losses import LossInput

REACH = 4.0  # times sigma
HEAVIEST_CLASS = 10.0


@dataclass(frozen=True)
class WeightMap(Loss):
    """border : w_0, the weight in the narrowest gap; sigma : pixels over which it falls."""

    name = "weightmap"
    role = "boundary"
    needs_instances = True
    border: float = 10.0
    sigma: float = 5.0

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and self.border >= 0):
            msg = (
                f"The loss 'weightmap' got border {self.border} and sigma {self.sigma}; "
                "border must not be negative, and sigma must be above 0 px."
            )
            raise InputError(msg)

    def __call__(self, batch: LossInput) -> Tensor:
        batch = batch.annotated()
        objects = batch.objects(self.name)
        if batch.is_empty:
            return batch.nothing()
        maps = np.stack([weight_map(labels, self.border, self.sigma) for labels in objects.cpu().numpy()])
        weight = torch.from_numpy(maps[:, None]).to(batch.foreground)
        return binary_cross_entropy_with_logits(batch.foreground, batch.truth, weight)


def weight_map(labels: NDArray[np.integer], border: float = 10.0, sigma: float = 5.0) -> NDArray[np.float32]:
    """labels : (H, W) instances, 0 is background. Returns w, float32 (H, W), above 0."""
    nearest, second = _two_distances(labels, REACH * sigma)
    reach = nearest + second
    gap = border * np.exp(-(reach**2) / (2 * sigma**2))
    gap[(labels > 0) | (reach > REACH * sigma)] = 0
    return (_class_weights(labels > 0) + gap).astype(np.float32)


def _class_weights(foreground: NDArray[np.bool_]) -> NDArray[np.float64]:
    share = foreground.mean()
    own_share = np.where(foreground, share, 1 - share)
    return np.minimum(1 / (2 * own_share), HEAVIEST_CLASS)


def _two_distances(labels: NDArray[np.integer], reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances (H, W) to the nearest and second nearest object, exact up to ``reach``, and no less than it beyond."""
    # Numbered without gaps, because find_objects makes a slot per number. Where no background is left, the first object
    # takes its number, which is of no account: there is no pixel to be weighted.
    numbered = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    nearest, second = np.full(labels.shape, np.inf), np.full(labels.shape, np.inf)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        window = tuple(slice(max(0, side.start - int(reach) - 1), side.stop + int(reach) + 1) for side in box)
        distance = np.asarray(ndimage.distance_transform_edt(numbered[window] != number))
        near, far = nearest[window], second[window]
        np.minimum(far, np.maximum(near, distance), out=far)
        np.minimum(near, distance, out=near)
    return nearest, second


LOSS = WeightMap()
