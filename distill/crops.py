"""Endless training crops that depend on the seed and the crop's number alone, so that training resumes exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch.utils.data import Dataset as TorchDataset

from distill.targets import targets
from runtime.normalize import normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.datasets import Dataset
    from distill.sections import AugmentSection
    from runtime.manifest import Normalization


@dataclass(frozen=True, eq=False)
class Field:
    """A frame made ready for cropping: image float32 (H, W) in [0, 1], labels int32 (H, W)."""

    image: NDArray[np.float32]
    labels: NDArray[np.int32]


def load_fields(data: Dataset, labels: str, how: Normalization) -> list[Field]:
    """Decode and normalise every sample of a data set (whole-frame percentiles, as at deployment)."""
    return [Field(normalize(sample.frame, how), sample.labels[labels]) for sample in data]


class CropStream(TorchDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Crops number ``start`` to ``start + count - 1`` of a stream defined by its seed.

    Item: (image (1, crop, crop), target (C, crop, crop)), both float32 in [0, 1].
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Field]],
        share: Sequence[float],
        outputs: tuple[str, ...],
        crop: int,
        augment: AugmentSection,
        seed: int,
        start: int,
        count: int,
    ) -> None:
        self.groups = groups
        self.share = np.asarray(share, float) / np.sum(share)
        self.chances = [_by_side_length(group) for group in groups]
        self.outputs, self.crop, self.augment = outputs, crop, augment
        self.seed, self.start, self.count = seed, start, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self.seed, self.start + index])
        group = rng.choice(len(self.groups), p=self.share)
        field = self.groups[group][rng.choice(len(self.groups[group]), p=self.chances[group])]
        image, labels = cut(field, self.crop, self.augment, rng)
        image = change_intensities(image, self.augment, rng)
        return torch.from_numpy(image[None]), torch.from_numpy(targets(labels, self.outputs))


def cut(
    field: Field, crop: int, augment: AugmentSection, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A square crop at a random place, scale, rotation and reflection; beyond its border a frame is mirrored."""
    zoom = augment.scale ** rng.uniform(-1, 1)
    angle = rng.uniform(0, 2 * np.pi) if augment.rotate and rng.random() < 0.5 else 0.0
    turn = int(rng.integers(4)) if augment.rotate else 0
    cos, sin = np.cos(angle + turn * np.pi / 2), np.sin(angle + turn * np.pi / 2)
    matrix = np.array([[cos, -sin], [sin, cos]]) / zoom
    if augment.rotate and rng.random() < 0.5:
        matrix[:, 1] *= -1
    reach = crop / 2 / zoom
    center = [rng.uniform(min(reach, side / 2), max(side - reach, side / 2)) for side in map(float, field.image.shape)]
    offset = np.asarray(center) - 0.5 - matrix @ np.full(2, (crop - 1) / 2)
    source = field.image if zoom > 0.8 else ndimage.gaussian_filter(field.image, 0.4 / zoom)
    window, shift = _window(field.image.shape, matrix, offset, crop)
    image = ndimage.affine_transform(
        source[window], matrix, offset - shift, (crop, crop), order=1, mode="mirror", output=np.float32
    )
    labels = ndimage.affine_transform(
        field.labels[window], matrix, offset - shift, (crop, crop), order=0, mode="mirror"
    )
    return image, labels


def change_intensities(
    image: NDArray[np.float32], augment: AugmentSection, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Gamma, contrast, blur and noise; float32 in [0, 1] in and out."""
    if augment.blur and rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, augment.blur))
    image = image ** np.float32(augment.gamma ** rng.uniform(-1, 1))
    if augment.contrast:
        gain = 1 + augment.contrast * rng.uniform(-1, 0.6)
        image = image * np.float32(gain) + np.float32(rng.uniform(0, 0.5) * max(0.0, 1 - gain))
    if augment.noise and rng.random() < 0.5:
        deviation = rng.uniform(0, augment.noise)
        image = image + rng.normal(0, deviation, image.shape).astype(np.float32)
    return np.clip(image, 0, 1, dtype=np.float32)


def _window(
    shape: tuple[int, ...], matrix: NDArray[np.float64], offset: NDArray[np.float64], crop: int
) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
    """The part of the frame that the crop reads, and where it begins: cutting then costs the crop, not the frame."""
    corners = np.array([[0, 0], [0, crop - 1], [crop - 1, 0], [crop - 1, crop - 1]]) @ matrix.T + offset
    if (corners.min(0) < 0).any() or (corners.max(0) > np.asarray(shape) - 1).any():
        return (slice(0, shape[0]), slice(0, shape[1])), np.zeros(2)  # mirrored at the border: keep all of it
    low = np.floor(corners.min(0)).astype(int)
    high = np.ceil(corners.max(0)).astype(int) + 1
    return (slice(low[0], high[0]), slice(low[1], high[1])), low.astype(float)


def _by_side_length(fields: Sequence[Field]) -> NDArray[np.float64]:
    """Larger frames are drawn more often, by the root of their area: a wide field holds more than one crop."""
    weights = np.sqrt([field.image.size for field in fields])
    return weights / weights.sum()
