"""Endless training crops that depend on the seed and the crop's number alone, so that training resumes exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch.utils.data import Dataset as TorchDataset

from distill.training.crops.augmentation import HAZE_KNOTS, SHRUNK, draw_light, draw_place
from distill.training.crops.training_maps import training_maps
from runtime.frames.normalize import normalize
from runtime.frames.scale import LARGEST_FACTOR, SMALLEST_FACTOR, median_diameter_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.config.sections import AugmentSection
    from runtime.artifact.manifest import Normalization

SMALL_PX = 12.0  # diameter of an object below which a student sees it least well


@dataclass(frozen=True, eq=False)
class CropField:
    """An image made ready for cropping.

    image : float32 (C, H, W) in [0, 1]; labels : int32 (H, W), of no meaning where `labelled` is false
    soft : uint8 (H, W), the teacher's foreground probability times 255, or None without a teacher
    zoom : what brings the field's objects to the student's size; see object_zoom
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    soft: NDArray[np.uint8] | None = None
    labelled: bool = True
    zoom: float = 1.0


class Crop(NamedTuple):
    """What the student is trained on; a batch of them is collated to the same with a first axis.

    image : (C, crop, crop) float32 in [0, 1]; target : (outputs, crop, crop) float32 in [0, 1]
    labelled : bool (); teacher : (1, crop, crop) float32 in [0, 1], or empty (0,) without a teacher
    instances : int64 (crop, crop), or empty (0,) where no loss needs them
    """

    image: torch.Tensor
    target: torch.Tensor
    labelled: torch.Tensor
    teacher: torch.Tensor
    instances: torch.Tensor


def ready(image: NDArray[Any], labels: NDArray[np.int32] | None, how: Normalization, **more: Any) -> CropField:
    """A field of an image (C, H, W), each plane scaled between its own whole-frame percentiles, as at deployment."""
    planes = np.stack([normalize(plane, how) for plane in image])
    empty = np.zeros(image.shape[1:], np.int32) if labels is None else labels
    return CropField(planes, empty, labelled=labels is not None, **more)


class CropStream(TorchDataset[Crop]):
    """Crops number ``start`` to ``start + count - 1`` of a stream defined by its seed.

    groups : sets of fields; share : how often each set is drawn from
    core, small_nuclei : see distill.config.sections.DataSection
    with_instances : whether crops carry instance labels, for the losses that need them
    """

    def __init__(
        self,
        groups: Sequence[Sequence[CropField]],
        share: Sequence[float],
        outputs: tuple[str, ...],
        crop: int,
        augment: AugmentSection,
        seed: int,
        start: int,
        count: int,
        with_instances: bool = False,
        core: str = "eroded",
        small_nuclei: float = 1.0,
    ) -> None:
        self.groups = groups
        self.share = np.asarray(share, float) / np.sum(share)
        self.chances = [_chances(group, small_nuclei) for group in groups]
        self.outputs, self.core, self.crop, self.augment = outputs, core, crop, augment
        self.seed, self.start, self.count = seed, start, count
        self.with_instances = with_instances

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Crop:
        rng = np.random.default_rng([self.seed, self.start + index])
        group, number = self.draw_field(rng)
        field = self.groups[group][number]
        part = cut(field, self.crop, self.augment, rng)
        image = np.stack([change_intensities(plane, self.augment, rng) for plane in part.image])
        if self.augment.drop:
            _drop_planes(image, self.augment.drop, rng)
        nothing = torch.empty(0)
        return Crop(
            torch.from_numpy(image),
            torch.from_numpy(training_maps(part.labels, self.outputs, self.core)),
            torch.tensor(field.labelled),
            nothing if part.soft is None else torch.from_numpy(part.soft[None].astype(np.float32) / 255),
            torch.from_numpy(part.labels.astype(np.int64)) if self.with_instances else nothing,
        )

    def draw_field(self, rng: np.random.Generator) -> tuple[int, int]:
        """The set that a crop is of, and the number of the field in it."""
        group = rng.choice(len(self.groups), p=self.share)
        return group, rng.choice(len(self.groups[group]), p=self.chances[group])


def cut(field: CropField, crop: int, augment: AugmentSection, rng: np.random.Generator) -> CropField:
    """A square crop at a random place, scale, rotation and reflection; beyond its border a frame is mirrored.

    All planes, the labels and the teacher's probability are cut at the same place.
    """
    place = draw_place(field.labels.shape, crop, augment, rng, field.zoom)
    matrix, offset = place.matrix, place.offset
    window, shift = _window(field.labels.shape, matrix, offset, crop)

    def sample(part: NDArray[Any], order: int) -> NDArray[Any]:
        return ndimage.affine_transform(part, matrix, offset - shift, (crop, crop), order=order, mode="mirror")

    image = np.stack([sample(_smooth(plane, window, place.zoom), order=1) for plane in field.image])
    soft = None if field.soft is None else np.rint(sample(field.soft[window].astype(np.float32), 1)).astype(np.uint8)
    return replace(field, image=image, labels=sample(field.labels[window], order=0), soft=soft)


def _smooth(plane: NDArray[np.float32], window: tuple[slice, slice], zoom: float) -> NDArray[np.float32]:
    """The window of a plane, blurred where it is about to be shrunk; with a margin, so that its rim is right, too."""
    if zoom > SHRUNK:
        return plane[window]
    sigma = 0.4 / zoom
    reach = int(4 * sigma + 0.5)  # where ndimage cuts its kernel off
    wide = tuple(slice(max(0, part.start - reach), part.stop + reach) for part in window)
    inner = tuple(
        slice(part.start - outer.start, part.stop - outer.start) for part, outer in zip(window, wide, strict=True)
    )
    return ndimage.gaussian_filter(plane[wide], sigma)[inner]


def _drop_planes(image: NDArray[np.float32], chance: float, rng: np.random.Generator) -> None:
    """Blank channels besides the first now and then: a teacher that leans on one plane fails where its stain fails."""
    for plane in image[1:]:
        if rng.random() < chance:
            plane[:] = 0


def change_intensities(
    image: NDArray[np.float32], augment: AugmentSection, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Blur, haze, texture, gamma, contrast, noise and hot pixels; float32 in [0, 1] in and out."""
    light = draw_light(augment, rng)
    if light.blur:
        image = ndimage.gaussian_filter(image, light.blur)
    if light.knots is not None:
        image = image + _haze(image.shape, light.knots) * np.float32(light.haze)
    if light.texture:
        noise = correlated(rng.normal(0, 1, image.shape), light.grain)
        image = (image + np.float32(light.texture) * noise * weight_of(image, light.speckle)).clip(0)
    image = image ** np.float32(light.gamma)
    if augment.contrast:
        image = image * np.float32(light.gain) + np.float32(light.lift)
    if light.noise:
        image = image + rng.normal(0, light.noise, image.shape).astype(np.float32)
    if light.hot:
        image = np.where(rng.random(image.shape) < light.hot, np.float32(1), image)
    return np.clip(image, 0, 1, dtype=np.float32)


def correlated(noise: NDArray[np.float64], grain: float) -> NDArray[np.float32]:
    """White noise, blurred by a Gaussian of `grain` pixels, with standard deviation 1 again."""
    smooth = ndimage.gaussian_filter(noise.astype(np.float32), grain, mode="wrap")
    return smooth / max(float(smooth.std()), 1e-6)


def weight_of(image: Any, speckle: Any) -> Any:
    """How strong a texture is at each pixel, arrays or tensors: even where speckle is 0, with the intensity at 1."""
    return (1 - speckle) * 0.5 + speckle * 2.0 * image


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


def _haze(shape: tuple[int, ...], knots: NDArray[np.float64]) -> NDArray[np.float32]:
    """A smooth surface between 0 and 1: a few random heights, and cubic splines between them."""
    surface = ndimage.zoom(knots, [side / HAZE_KNOTS for side in shape], order=3, mode="nearest", grid_mode=True)
    return surface.clip(0, 1).astype(np.float32)


def _chances(fields: Sequence[CropField], small_nuclei: float) -> NDArray[np.float64]:
    """How often each field is drawn: by the root of its area, as a wide one holds more than one crop."""
    weights = np.sqrt([field.labels.size for field in fields])
    if small_nuclei != 1:
        weights = np.where([_is_fine(field.labels) for field in fields], small_nuclei * weights, weights)
    return weights / weights.sum()


def object_zoom(labels: NDArray[np.int32], object_diameter: float) -> float:
    """What makes the median object of a field object_diameter pixels wide; 1 where it has none, or that is 0.

    labels : int32 (H, W). Limited to what the runtime resizes by; see runtime.frames.scale.
    """
    diameter = median_diameter_of(labels)
    if not object_diameter or diameter is None:
        return 1.0
    return float(np.clip(object_diameter / diameter, SMALLEST_FACTOR, LARGEST_FACTOR))


def _is_fine(labels: NDArray[np.int32]) -> bool:
    """Whether half of a field's objects or more are narrower than SMALL_PX, as discs of their area."""
    diameter = median_diameter_of(labels)
    return diameter is not None and diameter < SMALL_PX
