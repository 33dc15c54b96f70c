"""Boundary loss: distance to the true outline, integrated over what lies between it and the predicted one.

Kervadec et al. 2019, arXiv 1812.07032: integral of phi(x) (p(x) - y(x)), where phi is the signed distance
to the outline of y, negative inside. The paper drops the constant part -phi y; it is kept here, because the loss is
then never negative and 0 for the right answer, as a learnt weighting needs it, with the same gradient. Mean over
pixels, so the unit is pixels.

- phi is measured between pixel and pixel edge: -0.5 just inside the outline, +0.5 just outside.
- A crop that is all background or all foreground has no outline: phi is 0 there, as in the paper's code, and the
  region term has to do.
- Alone it would shrink the mask to nothing before it finds it, so it is ramped in, as in the paper: it is
  multiplied by the share of the training that is done, 0 at the start and 1 at the end.
- Crops without labels do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from distill.losses import Loss

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from distill.losses import LossInput


@dataclass(frozen=True)
class Kervadec(Loss):
    """Signed distance times the error of the probability, ramped in."""

    name = "kervadec"
    role = "boundary"

    def __call__(self, batch: LossInput) -> Tensor:
        batch = batch.annotated()
        if batch.is_empty:
            return batch.nothing()
        masks = batch.truth[:, 0].cpu().numpy() > 0.5
        distance = torch.from_numpy(np.stack([signed_distance(mask) for mask in masks])[:, None])
        error = batch.foreground.sigmoid() - batch.truth
        return batch.progress * (distance.to(error) * error).mean()


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """mask : (H, W) bool. Returns pixels to the outline, float32 (H, W), negative inside; 0 where there is none."""
    if mask.all() or not mask.any():
        return np.zeros(mask.shape, np.float32)
    outside = np.asarray(ndimage.distance_transform_edt(~mask))
    inside = np.asarray(ndimage.distance_transform_edt(mask))
    return np.where(mask, 0.5 - inside, outside - 0.5).astype(np.float32)


LOSS = Kervadec()
