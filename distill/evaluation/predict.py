"""A student, or a teacher with several channels, on whole frames in torch, tiled and blended as at deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from runtime.frames.normalize import intensity_range, scale
from runtime.frames.tiling import Grid, segment_tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import nn

    from distill.datasets import Sample
    from distill.networks.spec import StudentSpec

OVERLAP = 32  # pixels that neighbouring tiles share


def predictor(
    model: nn.Module, spec: StudentSpec, device: torch.device | str = "cpu"
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """A function from a frame (H, W), or from several planes (C, H, W), to probabilities float32 (outputs, H, W).

    model : (N, C, h, w) in [0, 1] to logits (N, outputs, h, w), for tiles of spec.tile
    Planes are scaled each between its own percentiles. One plane takes the runtime's own frame path.
    """

    def infer(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return torch.sigmoid(model(torch.from_numpy(tile).to(device)).float()).cpu().numpy()

    def predict(image: NDArray[Any]) -> NDArray[np.float32]:
        if image.ndim == 3:
            return _segment_planes(image, spec, infer)
        return segment_tiles(image, spec.normalization, spec.tile, OVERLAP, len(spec.outputs), infer)

    return predict


def seen(sample: Sample, spec: StudentSpec) -> NDArray[Any]:
    """What the student sees of a sample: the frame (H, W), or its channels (C, H, W) where it has several."""
    return sample.frame if len(spec.channels) == 1 else sample.planes(spec.channels)


def _segment_planes(
    image: NDArray[Any], spec: StudentSpec, infer: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    limits = [intensity_range(plane, spec.normalization) for plane in image]
    shape = image.shape[1:]
    result = np.zeros((len(spec.outputs), *shape), np.float32)
    for place in Grid.over(shape, spec.tile, OVERLAP):
        cut = [scale(plane[place.rows, place.cols], limit) for plane, limit in zip(image, limits, strict=True)]
        height, width = cut[0].shape
        missing = ((0, 0), (0, spec.tile[0] - height), (0, spec.tile[1] - width))
        output = infer(np.pad(np.stack(cut), missing, mode="symmetric")[None])[0, :, :height, :width]
        result[:, place.rows, place.cols] += output * (place.row_weights[:, None] * place.col_weights)
    return result.clip(0.0, 1.0, out=result)
