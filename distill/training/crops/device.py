"""Training crops cut where the student is trained: the host draws what is random, the accelerator does the rest.

Cutting on the host keeps a core busy for 9 ms a crop, so that a GPU waits for crops. Here all fields lie in the
device's memory, one behind the other, and a batch is sampled at once. A crop is that of host.py with the
same number, but for three things: noise is drawn on the device; a core is cut from the field's, so that an object at
the crop's border has the core of the whole object; and a field is smoothed before it is shrunk by averaging four
samples a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch.nn.functional import conv2d

from distill.training.crops.augmentation import COARSEST_GRAIN, HAZE_KNOTS, SHRUNK, Light, draw_light, draw_place
from distill.training.crops.host import Crop, CropStream, weight_of
from distill.training.crops.training_maps import CORES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from distill.training.crops.host import CropField

QUARTERS = (-0.25, 0.25)  # of a crop's pixel: where a shrunk field is sampled
CUT_OFF = 4.0  # deviations at which ndimage ends a Gaussian


class CropPlan(NamedTuple):
    """What the host draws of a crop; a batch of them is collated to the same with a first axis.

    field : int64, number among all fields; number : int64, of the crop in its stream
    matrix, offset, zoom : float32 (2, 2), (2,) and (), see distill.training.crops.augmentation.Place
    light : float32 (planes, 10), blur, haze, texture, grain, speckle, gamma, gain, lift, noise, hot of each plane, see
        distill.training.crops.augmentation.Light
    knots : float32 (planes, 4, 4), of the haze; kept : bool (planes,), false for a plane that is blanked
    """

    field: Tensor
    number: Tensor
    matrix: Tensor
    offset: Tensor
    zoom: Tensor
    light: Tensor
    knots: Tensor
    kept: Tensor


class PlanStream(CropStream):
    """The same stream as plans: a hundredth of the work."""

    def __getitem__(self, index: int) -> CropPlan:  # type: ignore[override]
        rng = np.random.default_rng([self.seed, self.start + index])
        group, number = self.draw_field(rng)
        field = self.groups[group][number]
        place = draw_place(field.labels.shape, self.crop, self.augment, rng, field.zoom)
        lights = [draw_light(self.augment, rng) for _ in field.image]
        kept = [True] + [not (self.augment.drop and rng.random() < self.augment.drop) for _ in field.image[1:]]
        before = sum(map(len, self.groups[:group]))
        return CropPlan(
            torch.tensor(before + int(number)),
            torch.tensor(self.start + index),
            torch.from_numpy(place.matrix.astype(np.float32)),
            torch.from_numpy(place.offset.astype(np.float32)),
            torch.tensor(place.zoom, dtype=torch.float32),
            torch.tensor([_numbers(light) for light in lights], dtype=torch.float32),
            torch.from_numpy(np.stack([_knots(light) for light in lights])),
            torch.tensor(kept),
        )


class DeviceCrops:
    """All fields of a training in a device's memory, and the crops that plans ask for.

    stream : as it would be cut on the host
    """

    def __init__(self, stream: CropStream, device: torch.device) -> None:
        fields = [field for group in stream.groups for field in group]
        self.crop, self.seed, self.outputs, self.device = stream.crop, stream.seed, stream.outputs, device
        self.with_instances = stream.with_instances
        self.sharp = stream.core != "distance"
        self.widest_blur, self.textured = stream.augment.blur, stream.augment.texture > 0
        self.may_be_hot = stream.augment.hot > 0
        sides = torch.tensor([field.labels.shape for field in fields])
        self.sides = sides.to(device)
        self.begins = (sides.prod(1).cumsum(0) - sides.prod(1)).to(device)
        self.labelled = torch.tensor([field.labelled for field in fields], device=device)
        self.image = self._behind_each_other([field.image for field in fields])
        self.labels = self._behind_each_other([field.labels[None] for field in fields])
        self.core = self._cores(fields, CORES[stream.core])
        self.soft = self._soft(fields)
        surface = ndimage.zoom(np.eye(HAZE_KNOTS), (self.crop / HAZE_KNOTS, 1), order=3, mode="nearest", grid_mode=True)
        self.spline = torch.from_numpy(surface.astype(np.float32)).to(device)

    def cut(self, plan: CropPlan) -> Crop:
        """The crops (N, ...) of a batch of plans on this device."""
        with torch.no_grad():
            image = self._change(self._smooth_sample(self.image, plan), plan)
            rows, columns = self._where(plan, 0.0, 0.0)
            labels = self._nearest(self.labels, plan, rows, columns)[:, 0]
            planes = {"foreground": labels > 0}
            if "core" in self.outputs:
                look = self._nearest if self.sharp else self._between
                planes["core"] = look(self.core, plan, rows, columns)[:, 0] * planes["foreground"]
            nothing = torch.empty(len(labels), 0, device=self.device)
            return Crop(
                image,
                torch.stack([planes[name].float() for name in self.outputs], 1),
                self.labelled[plan.field],
                nothing if self.soft is None else self._between(self.soft, plan, rows, columns),
                labels.long() if self.with_instances else nothing,
            )

    def _behind_each_other(self, planes: Sequence[np.ndarray]) -> Tensor:
        """(C, H, W) of each field to (C, sum of H W)."""
        return torch.from_numpy(np.concatenate([plane.reshape(len(plane), -1) for plane in planes], 1)).to(self.device)

    def _cores(self, fields: Sequence[CropField], core: object) -> Tensor | None:
        if "core" not in self.outputs:
            return None
        return self._behind_each_other([np.asarray(core(field.labels), np.float32)[None] for field in fields])  # type: ignore[operator]

    def _soft(self, fields: Sequence[CropField]) -> Tensor | None:
        found = [field.soft[None].astype(np.float32) / 255 for field in fields if field.soft is not None]
        return self._behind_each_other(found) if found else None

    def _where(self, plan: CropPlan, down: float, right: float) -> tuple[Tensor, Tensor]:
        """Rows and columns (N, crop, crop) of the fields that the pixels show, moved by a part of a pixel."""
        steps = torch.arange(self.crop, device=self.device, dtype=torch.float32)
        pixels = torch.stack(torch.meshgrid(steps + down, steps + right, indexing="ij")).reshape(2, -1)
        found = plan.matrix @ pixels + plan.offset[:, :, None]
        rows, columns = found.reshape(-1, 2, self.crop, self.crop).unbind(1)
        height, width = (side[:, None, None] for side in self.sides[plan.field].unbind(1))
        return _mirrored(rows, height), _mirrored(columns, width)

    def _at(self, store: Tensor, plan: CropPlan, rows: Tensor, columns: Tensor) -> Tensor:
        """Values (N, C, crop, crop) of a store (C, all pixels) at whole rows and columns."""
        begin = self.begins[plan.field][:, None, None]
        width = self.sides[plan.field, 1][:, None, None]
        return store[:, begin + rows * width + columns].transpose(0, 1)

    def _nearest(self, store: Tensor, plan: CropPlan, rows: Tensor, columns: Tensor) -> Tensor:
        return self._at(store, plan, (rows + 0.5).floor().long(), (columns + 0.5).floor().long())

    def _between(self, store: Tensor, plan: CropPlan, rows: Tensor, columns: Tensor) -> Tensor:
        """Bilinear."""
        height, width = (side[:, None, None] - 1 for side in self.sides[plan.field].unbind(1))
        top, left = rows.floor(), columns.floor()
        down, right = (rows - top)[:, None], (columns - left)[:, None]
        top, left = top.long(), left.long()
        bottom, beside = torch.minimum(top + 1, height), torch.minimum(left + 1, width)
        above = torch.lerp(self._at(store, plan, top, left), self._at(store, plan, top, beside), right)
        below = torch.lerp(self._at(store, plan, bottom, left), self._at(store, plan, bottom, beside), right)
        return torch.lerp(above, below, down)

    def _smooth_sample(self, store: Tensor, plan: CropPlan) -> Tensor:
        """Bilinear, and the mean of four places in a pixel where the field is about to be shrunk."""
        plain = self._between(store, plan, *self._where(plan, 0.0, 0.0))
        four = [self._between(store, plan, *self._where(plan, down, right)) for down in QUARTERS for right in QUARTERS]
        return torch.where((plan.zoom <= SHRUNK)[:, None, None, None], torch.stack(four).mean(0), plain)

    def _change(self, image: Tensor, plan: CropPlan) -> Tensor:
        """Intensities (N, C, crop, crop) in [0, 1], as distill.training.crops.host.change_intensities does."""
        values = (value[..., None, None] for value in plan.light.unbind(2))
        blur, haze, texture, grain, speckle, gamma, gain, lift, noise, hot = values
        generator = torch.Generator(self.device).manual_seed(self.seed << 32 | int(plan.number[0]))
        if self.widest_blur:
            image = self._blurred(image, blur, self.widest_blur)
        surface = (self.spline @ plan.knots @ self.spline.T).clamp(0, 1)
        image = image + haze * surface
        if self.textured:
            white = torch.randn(image.shape, generator=generator, device=self.device)
            smooth = self._blurred(white, grain, COARSEST_GRAIN)
            smooth = smooth / smooth.std((2, 3), keepdim=True).clamp_min(1e-6)
            image = (image + texture * smooth * weight_of(image, speckle)).clamp_min(0)
        image = image**gamma * gain + lift
        image = image + noise * torch.randn(image.shape, generator=generator, device=self.device)
        if self.may_be_hot:
            image = torch.where(torch.rand(image.shape, generator=generator, device=self.device) < hot, 1.0, image)
        return image.clamp(0, 1) * plan.kept[..., None, None]

    def _blurred(self, image: Tensor, deviation: Tensor, widest: float) -> Tensor:
        """Each plane with a Gaussian of its own deviation (N, C, 1, 1), symmetric at the border, as ndimage's."""
        reach = int(CUT_OFF * widest + 0.5)
        steps = torch.arange(-reach, reach + 1, device=self.device, dtype=torch.float32)
        deviation = deviation.reshape(-1, 1)
        weight = torch.exp(-0.5 * (steps / deviation.clamp_min(1e-3)) ** 2)
        weight = weight * (steps.abs() <= (CUT_OFF * deviation + 0.5).floor())
        weight = (weight / weight.sum(1, keepdim=True))[:, None, None]
        place = torch.arange(-reach, self.crop + reach, device=self.device)
        place = torch.where(place < 0, -1 - place, torch.where(place >= self.crop, 2 * self.crop - 1 - place, place))
        flat = image.reshape(1, -1, self.crop, self.crop)
        flat = conv2d(flat[..., place], weight, groups=len(weight))
        flat = conv2d(flat[..., place, :], weight.transpose(2, 3), groups=len(weight))
        return flat.reshape(image.shape)


def _mirrored(place: Tensor, side: Tensor) -> Tensor:
    """Into [0, side - 1], reflected at the first and the last pixel."""
    period = (2 * (side - 1)).clamp_min(1)
    place = place.abs() % period
    return torch.minimum(place, period - place) * (side > 1)


def _numbers(light: Light) -> list[float]:
    texture = [light.texture, light.grain, light.speckle]
    return [light.blur, light.haze, *texture, light.gamma, light.gain, light.lift, light.noise, light.hot]


def _knots(light: Light) -> np.ndarray:
    knots = np.zeros((HAZE_KNOTS, HAZE_KNOTS)) if light.knots is None else light.knots
    return knots.astype(np.float32)
