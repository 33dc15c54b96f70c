"""What is drawn at random for a crop: where it lies, and how its intensities change.

Drawing is apart from doing, which host.py does on the host, and device.py on the accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from distill.config.sections import AugmentSection

HAZE_KNOTS = 4
FINEST_GRAIN, COARSEST_GRAIN = 0.6, 3.0  # pixels, of the texture
SHRUNK = 0.8  # zoom up to which a field is smoothed before it is sampled


@dataclass(frozen=True, eq=False)
class Place:
    """Pixel (row, column) of a crop shows the field at matrix @ pixel + offset, both in pixels; zoom is its scale."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    zoom: float


@dataclass(frozen=True, eq=False)
class Light:
    """Changes of intensity in this order; the defaults change nothing.

    blur : standard deviation in pixels; haze : height of a smooth surface through `knots`, (4, 4) in [0, 1]
    texture : standard deviation of noise that is correlated over `grain` pixels (a Gaussian's deviation); the share
        `speckle` of it grows with the intensity, as chromatin does, the rest is added everywhere
    gamma : exponent; gain, lift : factor and summand; noise : standard deviation
    hot : share of the pixels that are as bright as the range allows
    """

    blur: float = 0.0
    haze: float = 0.0
    knots: NDArray[np.float64] | None = None
    texture: float = 0.0
    grain: float = 1.0
    speckle: float = 0.0
    gamma: float = 1.0
    gain: float = 1.0
    lift: float = 0.0
    noise: float = 0.0
    hot: float = 0.0


def draw_place(
    shape: tuple[int, ...], crop: int, augment: AugmentSection, rng: np.random.Generator, zoom: float = 1.0
) -> Place:
    """A square of `crop` pixels a side at a random place, scale, rotation and reflection in a field of `shape`.

    zoom : what brings the field to the student's size of objects; the random scale multiplies it
    """
    zoom *= augment.scale ** rng.uniform(-1, 1)
    angle = rng.uniform(0, 2 * np.pi) if augment.rotate and rng.random() < 0.5 else 0.0
    turn = int(rng.integers(4)) if augment.rotate else 0
    cos, sin = np.cos(angle + turn * np.pi / 2), np.sin(angle + turn * np.pi / 2)
    matrix = np.array([[cos, -sin], [sin, cos]]) / zoom
    if augment.rotate and rng.random() < 0.5:
        matrix[:, 1] *= -1
    reach = crop / 2 / zoom
    center = [rng.uniform(min(reach, side / 2), max(side - reach, side / 2)) for side in map(float, shape)]
    offset = np.asarray(center) - 0.5 - matrix @ np.full(2, (crop - 1) / 2)
    return Place(matrix, offset, zoom)


def draw_light(augment: AugmentSection, rng: np.random.Generator) -> Light:
    """How the intensities of one plane change; what is drawn last is how noisy it is."""
    blur = rng.uniform(0.3, augment.blur) if augment.blur and rng.random() < 0.3 else 0.0
    knots, haze = None, 0.0
    if augment.haze and rng.random() < 0.3:
        knots = rng.random((HAZE_KNOTS, HAZE_KNOTS))
        haze = rng.uniform(0, augment.haze)
    texture, grain, speckle = 0.0, 1.0, 0.0
    if augment.texture and rng.random() < 0.4:
        texture = rng.uniform(0, augment.texture)
        grain = FINEST_GRAIN * (COARSEST_GRAIN / FINEST_GRAIN) ** rng.random()
        speckle = rng.random()
    gamma = augment.gamma ** rng.uniform(-1, 1)
    gain, lift = 1.0, 0.0
    if augment.contrast:
        gain = 1 + augment.contrast * rng.uniform(-1, 0.6)
        lift = rng.uniform(0, 0.5) * max(0.0, 1 - gain)
    noise = rng.uniform(0, augment.noise) if augment.noise and rng.random() < 0.5 else 0.0
    hot = rng.uniform(0, augment.hot) if augment.hot and rng.random() < 0.25 else 0.0
    return Light(blur, haze, knots, texture, grain, speckle, gamma, gain, lift, noise, hot)
