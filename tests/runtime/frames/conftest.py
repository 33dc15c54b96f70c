"""Frames whose intensities lie: what is wrong with them, and the frame."""

from __future__ import annotations

import numpy as np
import pytest

NUCLEI = 60


def nuclei(seed: int = 0, side: int = 300) -> np.ndarray:
    """Soft discs of different brightness on a dim, noisy background; uint16, about 400 to 3500."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:side, :side]
    light = np.zeros((side, side))
    for row, col, radius, bright in rng.uniform((0, 0, 6, 0.3), (side, side, 13, 1), (NUCLEI, 4)):
        distance = np.hypot(rows - row, cols - col) - radius
        light = np.maximum(light, bright / (1 + np.exp(np.clip(distance * 1.5, -50, 50))))
    return rng.poisson(400 + 3000 * light).astype(np.uint16)


@pytest.fixture(scope="session")
def clean_frame() -> np.ndarray:
    return nuclei()


@pytest.fixture(scope="session")
def odd_frames(clean_frame: np.ndarray) -> dict[str, np.ndarray]:
    """Frames by the flag that they must have, and what else is the matter with them."""
    rows, cols = np.mgrid[: clean_frame.shape[0], : clean_frame.shape[1]]
    frames = {"": clean_frame}
    for level in (0, 1500, 65535):
        frames[f"padding: one side, {level}"] = np.where(cols < 6, level, clean_frame)
        frames[f"padding: all sides, {level}"] = np.where(
            (np.minimum(rows, cols) < 20) | (np.maximum(rows, cols) >= 280), level, clean_frame
        )
        across = np.abs(rows - 149.5) + np.abs(cols - 149.5)
        frames[f"padding: corners, {level}"] = np.where(across > 240, level, clean_frame)
    rng = np.random.default_rng(1)
    dust = np.zeros(clean_frame.shape, bool)
    for row, col in rng.integers(10, 290, (20, 2)):
        dust |= np.hypot(rows - row, cols - col) < 4
    frames["debris"] = np.where(dust, rng.integers(20000, 40000, dust.shape), clean_frame)
    frames["debris: hot pixels"] = np.where(rng.random(dust.shape) < 0.006, 65535, clean_frame)
    frames["inverted"] = 4095 - clean_frame
    frames["inverted padding: all sides"] = np.where(np.minimum(rows, cols) < 9, 0, 4095 - clean_frame)
    frames["padding debris"] = np.where(cols < 30, 0, frames["debris"])
    return {name: frame.astype(np.uint16) for name, frame in frames.items()}
