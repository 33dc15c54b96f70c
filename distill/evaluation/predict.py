"""A student, or a teacher with several channels, on whole frames in torch, tiled and blended as at deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from runtime.frames.normalize import intensity_range, scale
from runtime.frames.scale import AUTO, OFF, DiameterRequest, median_diameter_of
from runtime.frames.tiling import Grid
from runtime.segmentation.path import FramePath
from runtime.segmentation.result import Segmentation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import nn

    from distill.datasets import Sample
    from distill.networks.spec import StudentSpec

OVERLAP = 32  # pixels that neighbouring tiles share


def segmenting(
    model: nn.Module, spec: StudentSpec, device: torch.device | str = "cpu", request: DiameterRequest = AUTO
) -> Callable[[NDArray[Any]], Segmentation]:
    """A function from a frame (H, W), or from several planes (C, H, W), to its segmentation, as the runtime makes it.

    model : (N, C, h, w) in [0, 1] to logits (N, outputs, h, w), for tiles of spec.tile; request : of the objects' size
    One plane takes the runtime's own frame path. Several are scaled each between its own percentiles, and not resized.
    """

    def infer(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return torch.sigmoid(model(torch.from_numpy(tile).to(device)).float()).cpu().numpy()

    path = FramePath(
        normalization=spec.normalization,
        tile=spec.tile,
        overlap=OVERLAP,
        outputs=spec.outputs,
        threshold=spec.threshold,
        objects=spec.objects,
        object_diameter=spec.object_diameter,
        pixel_size_um=spec.pixel_size_um,
        intensity=None,
        run_tile=infer,
    )

    def segment(image: NDArray[Any]) -> Segmentation:
        if image.ndim == 2:
            return path(image, request=request)
        maps = _segment_planes(image, spec, infer)
        core = maps[spec.outputs.index("core")] if "core" in spec.outputs else None
        return Segmentation(maps[0], core, spec.threshold, spec.objects)

    return segment


def true_size(labels: NDArray[np.int32], spec: StudentSpec) -> DiameterRequest:
    """The size of the labelled objects, int32 (H, W), to segment their frame at; off for students of any size."""
    diameter = median_diameter_of(labels) if spec.object_diameter else None
    return OFF if diameter is None else DiameterRequest("px", diameter)


def predictor(
    model: nn.Module, spec: StudentSpec, device: torch.device | str = "cpu"
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """As segmenting, but to the maps alone, float32 (outputs, H, W)."""
    segment = segmenting(model, spec, device)

    def predict(image: NDArray[Any]) -> NDArray[np.float32]:
        return maps_of(segment(image))

    return predict


def maps_of(result: Segmentation) -> NDArray[np.float32]:
    """The maps of a segmentation, float32 (outputs, H, W)."""
    return np.stack([result.probability] if result.core is None else [result.probability, result.core])


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
