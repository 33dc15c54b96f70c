"""SAM's encoder and decoder, and the dense map that many prompts make together.

The sigmoid is monotone: the largest probability over all prompts is the sigmoid of their largest logit. So a running
maximum of the small logits (a quarter of the encoder's resolution) is kept while the prompts pass in chunks, and only
the result is upsampled. Memory does not grow with the number of cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from segment_anything.utils.amg import calculate_stability_score
from segment_anything.utils.transforms import ResizeLongestSide

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from segment_anything.modeling import Sam
    from torch import Tensor

NOTHING = -1e4  # logit of a pixel that no prompt has claimed yet; fits half precision
OUTSIDE = -32.0  # largest logit outside a confining box: probability 1e-14

# What a mask of the automatic grid must reach; the first three are those of SAM's own automatic mode.
LEAST_IOU, LEAST_STABILITY, STABILITY_OFFSET = 0.88, 0.95, 1.0
LARGEST_SHARE = 0.1  # of the field: what is larger is background, no cell


@dataclass(frozen=True, eq=False)
class Encoded:
    """A field in the encoder's eyes.

    embedding : (C, h, w), for the official sizes 256 x 64 x 64
    input_size : (H, W) of the field scaled to the encoder's side, before it is padded
    original_size : (H, W) of the field
    """

    embedding: Tensor
    input_size: tuple[int, int]
    original_size: tuple[int, int]


class SamNetwork:
    """A loaded SAM. half : encoder and mask decoder compute in half precision, prompts and results do not."""

    def __init__(self, sam: Sam, half: bool = False) -> None:
        self.sam, self.half = sam, half
        self.resize = ResizeLongestSide(sam.image_encoder.img_size)

    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Encoded]:
        """One pass of the encoder over pictures (H, W, 3), which may differ in size."""
        scaled = [torch.from_numpy(self.resize.apply_image(picture)).permute(2, 0, 1) for picture in pictures]
        batch = torch.stack([self.sam.preprocess(one.to(self.sam.device).float()) for one in scaled])
        with torch.inference_mode(), self._precision():
            embeddings = self.sam.image_encoder(batch).float()
        return [
            Encoded(embedding, _size(one.shape[1:]), _size(picture.shape[:2]))
            for embedding, one, picture in zip(embeddings, scaled, pictures, strict=True)
        ]

    def from_boxes(
        self,
        encoded: Encoded,
        boxes: NDArray[np.float32],
        chunk: int,
        confine: int = -1,
        least_iou: float = -math.inf,
    ) -> NDArray[np.float32]:
        """Probability (H, W) that a pixel belongs to the object of any box, (N, 4) in pixels.

        confine : pixels by which a box is widened, outside of which its mask counts for nothing; -1 does not confine
        least_iou : masks that the network itself thinks worse of are left out
        """
        parts = (self._box_logits(encoded, part, confine, least_iou) for part in _parts(boxes, chunk))
        return self._probability(encoded, parts)

    def from_points(self, encoded: Encoded, points: NDArray[np.float32], chunk: int) -> NDArray[np.float32]:
        """The same for points (N, 2): of the three masks of a point, the one that SAM believes in most."""
        return self._probability(encoded, (self._point_logits(encoded, part) for part in _parts(points, chunk)))

    def from_grid(self, encoded: Encoded, points: NDArray[np.float32], chunk: int) -> NDArray[np.float32]:
        """The same for a grid of points, which nobody placed: of all masks those that are sure, stable and small."""
        return self._probability(encoded, (self._grid_logits(encoded, part) for part in _parts(points, chunk)))

    def upsample(self, encoded: Encoded, logits: Tensor) -> NDArray[np.float32]:
        """Small logits (h, w) as probability (H, W) of the field, the padding taken off."""
        full = self.sam.postprocess_masks(logits[None, None], encoded.input_size, encoded.original_size)
        return torch.sigmoid(full[0, 0]).cpu().numpy()

    def _probability(self, encoded: Encoded, chunks: Iterator[Tensor]) -> NDArray[np.float32]:
        small = tuple(4 * side for side in encoded.embedding.shape[-2:])
        best = torch.full(small, NOTHING, device=encoded.embedding.device)
        with torch.inference_mode():
            for logits in chunks:  # (N, h, w)
                best = torch.maximum(best, logits.amax(0)) if len(logits) else best
            return self.upsample(encoded, best)

    def _box_logits(self, encoded: Encoded, boxes: NDArray[np.float32], confine: int, least_iou: float) -> Tensor:
        corners = self.resize.apply_boxes_torch(self._tensor(boxes), encoded.original_size)
        logits, quality = self._decode(encoded, boxes=corners, multimask=False)
        good = quality[:, 0] >= least_iou
        if confine < 0:
            return logits[good, 0]
        wide = self._tensor(boxes + np.array([-confine, -confine, confine, confine], np.float32))
        inside = self._inside(self.resize.apply_boxes_torch(wide, encoded.original_size), logits.shape[-2:])
        return torch.where(inside, logits[:, 0], logits[:, 0].clamp(max=OUTSIDE))[good]

    def _point_logits(self, encoded: Encoded, points: NDArray[np.float32]) -> Tensor:
        logits, quality = self._decode(encoded, points=self._scaled(encoded, points), multimask=True)
        return logits[torch.arange(len(logits)), quality.argmax(1)]

    def _grid_logits(self, encoded: Encoded, points: NDArray[np.float32]) -> Tensor:
        logits, quality = self._decode(encoded, points=self._scaled(encoded, points), multimask=True)
        logits, quality = logits.flatten(0, 1), quality.flatten()
        stability = calculate_stability_score(logits, self.sam.mask_threshold, STABILITY_OFFSET)  # NaN when empty
        height, width = self._unpadded(encoded, logits)
        share = (logits[:, :height, :width] > self.sam.mask_threshold).float().mean((1, 2))
        return logits[(quality >= LEAST_IOU) & (stability >= LEAST_STABILITY) & (share <= LARGEST_SHARE)]

    def _decode(
        self, encoded: Encoded, *, multimask: bool, boxes: Tensor | None = None, points: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Prompts in the encoder's pixels -> logits (N, M, h, w) and predicted IoU (N, M), M is 3 or 1."""
        positive = None if points is None else (points[:, None], torch.ones(len(points), 1, device=points.device))
        sparse, dense = self.sam.prompt_encoder(points=positive, boxes=boxes, masks=None)
        with self._precision():
            logits, quality = self.sam.mask_decoder(
                image_embeddings=encoded.embedding[None],
                image_pe=self.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
            )
        return logits.float(), quality.float()

    def _inside(self, corners: Tensor, small: tuple[int, ...]) -> Tensor:
        """Which of the small logits' pixels lie in boxes given in the encoder's pixels, (N, h, w)."""
        step = self.resize.target_length / small[0]
        rows, cols = ((torch.arange(side, device=corners.device) + 0.5) * step - 0.5 for side in small)
        x0, y0, x1, y1 = (corners[:, place, None, None] for place in range(4))
        rows, cols = rows[None, :, None], cols[None, None, :]
        return (cols >= x0 - step / 2) & (cols <= x1 + step / 2) & (rows >= y0 - step / 2) & (rows <= y1 + step / 2)

    def _unpadded(self, encoded: Encoded, logits: Tensor) -> tuple[int, int]:
        """The part of the small logits that is the field."""
        height, width = encoded.input_size
        step = self.resize.target_length / logits.shape[-1]
        return max(1, round(height / step)), max(1, round(width / step))

    def _scaled(self, encoded: Encoded, points: NDArray[np.float32]) -> Tensor:
        return self.resize.apply_coords_torch(self._tensor(points), encoded.original_size)

    def _tensor(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.sam.device)

    def _precision(self) -> Any:
        return torch.autocast(self.sam.device.type, torch.float16, enabled=self.half)


def _parts(prompts: NDArray[np.float32], chunk: int) -> list[NDArray[np.float32]]:
    return [prompts[start : start + chunk] for start in range(0, len(prompts), chunk)]


def _size(shape: Sequence[int]) -> tuple[int, int]:
    height, width = shape
    return int(height), int(width)
