"""A student on whole frames in torch, through the runtime's own frame path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from runtime.tiling import segment_tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from distill.spec import StudentSpec

OVERLAP = 32  # pixels that neighbouring tiles share


def predictor(
    model: nn.Module, spec: StudentSpec, device: torch.device | str = "cpu"
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """A function from a frame (H, W) to probabilities float32 (C, H, W), tiled and blended as at deployment.

    model : (N, 1, h, w) in [0, 1] to logits (N, C, h, w), for tiles of spec.tile
    """

    def infer(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return torch.sigmoid(model(torch.from_numpy(tile).to(device)).float()).cpu().numpy()

    def predict(frame: NDArray[Any]) -> NDArray[np.float32]:
        return segment_tiles(frame, spec.normalization, spec.tile, OVERLAP, len(spec.outputs), infer)

    return predict
