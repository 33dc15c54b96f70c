"""Light -> grey values: photons are counted, read out with noise, amplified, offset, and clipped."""

import numpy as np
from numpy.typing import NDArray

from distill.datasets.readers.synthetic.scene import CameraNoise


def expose(rng: np.random.Generator, light: NDArray[np.floating], camera: CameraNoise) -> NDArray[np.uint16]:
    """light : (H, W), 1 for a mean nucleus. Returns uint16 (H, W) with the camera's bit depth."""
    full = 2**camera.bits - 1
    brightest = max(float(np.percentile(light, 99.8)), 0.3) * camera.photons
    gain = camera.exposure * (full - camera.offset) / brightest
    electrons = rng.poisson(light * camera.photons).astype(np.float32)
    electrons += camera.read_noise * rng.standard_normal(light.shape, np.float32)
    grey = electrons * gain + camera.offset
    if camera.hot_pixels:
        hot = rng.random(light.shape) < camera.hot_pixels
        grey[hot] += full * rng.uniform(0.1, 1, int(hot.sum()))
    return np.rint(np.clip(grey, 0, full)).astype(np.uint16)
