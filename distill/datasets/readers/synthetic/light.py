"""Expected light of the two stains, before any photon is counted: dye, then blur, scatter and illumination.

All amounts are relative to the mean brightness of a nucleus, which is 1.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from distill.datasets.readers.synthetic.cells import Cells
from distill.datasets.readers.synthetic.noise import enlarge, shrink, smooth
from distill.datasets.readers.synthetic.scene import Optics, Stain

COARSE = 4  # wide blurs are computed on a grid this much coarser


def nuclear_stain(rng: np.random.Generator, cells: Cells, stain: Stain, diameter: float) -> NDArray[np.floating]:
    """DNA dye: textured nuclei, a little cytoplasm, tissue background, haze from other planes, debris."""
    chromatin = _chromatin(rng, cells, stain, diameter)
    return chromatin + _cytoplasm(rng, cells, stain, diameter) + _background(rng, stain, chromatin, diameter)


def membrane_stain(rng: np.random.Generator, cells: Cells, stain: Stain) -> NDArray[np.floating]:
    """Membrane marker: an uneven line with gaps along every cell border, and a weaker cytoplasm."""
    shape = cells.cells.shape
    expression = _per_cell(rng, cells.count, stain.membrane_spread)
    gaps = np.clip(1 + stain.membrane_gaps * (smooth(rng, shape, 7) - 0.3), 0, 2)
    regional = np.clip(1 + 0.5 * smooth(rng, shape, 100), 0.1, 2.5)
    border = _border(cells.cells, expression) * gaps
    line = gaussian_filter(border, stain.membrane_width, truncate=3) * np.float32(2.5 * stain.membrane_width)
    body = stain.membrane_cytoplasm * expression[cells.cells] * np.where(cells.nuclei > 0, 0.4, 1)
    body *= 1 + 0.3 * gaussian_filter(rng.standard_normal(shape, np.float32), 1.5, truncate=3) * 5
    background = stain.background * 0.5 * np.clip(1 + 0.3 * smooth(rng, shape, 60), 0.2, None)
    return stain.membrane * (line + np.maximum(body, 0)) * regional + background


def through_optics(
    rng: np.random.Generator, light: NDArray[np.floating], optics: Optics, focus: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Blur that varies as `focus` does (0 sharp to 1 defocused), and widely scattered light."""
    seen = gaussian_filter(light, optics.sharp, truncate=3)
    if optics.defocus:
        seen += focus * (gaussian_filter(seen, optics.defocus, truncate=3) - seen)
    return (1 - optics.halo) * seen + optics.halo * _wide_blur(seen, rng.uniform(8, 20))


def focus_map(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.floating]:
    """How far out of focus each place is, 0 to 1: a tilted and wavy specimen."""
    return np.clip(rng.uniform(0.1, 0.9) + 0.4 * smooth(rng, shape, 150), 0, 1).astype(np.float32)


def illumination(rng: np.random.Generator, shape: tuple[int, int], optics: Optics) -> NDArray[np.floating]:
    """Brightest somewhere in the field, darker by up to `vignette` far from there."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    centre_y, centre_x = rng.uniform(-0.7, 0.7, 2)
    square = (y[:, None] - centre_y) ** 2 + (x - centre_x) ** 2
    return (1 - optics.vignette * square / square.max()).astype(np.float32)


def _chromatin(rng: np.random.Generator, cells: Cells, stain: Stain, diameter: float) -> NDArray[np.floating]:
    inside = cells.nuclei > 0
    grain = gaussian_filter(rng.standard_normal(inside.shape, np.float32), stain.grain, truncate=3)
    grain *= np.float32(3.5 * stain.grain)  # back to unit variance
    clumps = smooth(rng, inside.shape, max(3.0, diameter / 5))
    texture = np.exp(stain.texture * (0.7 * grain + 0.7 * clumps))
    if stain.chromocentres:
        texture += stain.chromocentres * np.clip(grain - 1.3, 0, 1.5)
    holes = np.clip(clumps - 1.1, 0, 0.8) * stain.nucleoli * (diameter > 12)
    thickness = 1 - stain.dome + stain.dome * np.sqrt(np.maximum(1 - cells.depth**2, 0)) * 1.3
    brightness = _per_cell(rng, cells.count, stain.nucleus_spread)
    brightness[rng.random(len(brightness)) < 0.025] *= 2.2  # condensed: dividing or dying
    brightness[rng.random(len(brightness)) < 0.04] *= 0.35
    return np.where(inside, brightness[cells.nuclei] * thickness * np.maximum(texture - holes, 0.1), 0)


def _cytoplasm(rng: np.random.Generator, cells: Cells, stain: Stain, diameter: float) -> NDArray[np.floating]:
    """Dye and autofluorescence outside the nucleus, thinning out towards the border of the cell."""
    amount = _per_cell(rng, cells.count, 0.6)[cells.cells] * np.exp(-cells.reach / (0.35 * diameter))
    return stain.cytoplasm * _wide_blur(amount, 0.12 * diameter)


def _background(
    rng: np.random.Generator, stain: Stain, chromatin: NDArray[np.floating], diameter: float
) -> NDArray[np.floating]:
    shape = chromatin.shape
    light = stain.background * np.clip(1 + 0.35 * smooth(rng, shape, rng.uniform(40, 120)), 0.2, None)
    elsewhere = np.roll(chromatin[::-1, ::-1], tuple(rng.integers(0, shape)), (0, 1))
    light += stain.haze * _wide_blur(elsewhere, diameter * rng.uniform(0.2, 0.5))
    if stain.fibres:
        ridge = smooth(rng, shape, rng.uniform(30, 70)) / rng.uniform(0.03, 0.12)
        light += stain.fibres * np.exp(-(ridge**2)) * np.clip(smooth(rng, shape, 50), 0, 1.5)
    return light + _debris(rng, shape, stain)


def _debris(rng: np.random.Generator, shape: tuple[int, int], stain: Stain) -> NDArray[np.floating]:
    light = np.zeros(shape, np.float32)
    for _ in range(rng.poisson(stain.debris)):
        radius, brightness = rng.uniform(0.7, 2.5), rng.lognormal(-0.3, 0.7)
        centre_y, centre_x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        y, x = (np.arange(n, dtype=np.float32) for n in shape)
        rows, columns = (np.exp(-((a - c) ** 2) / (2 * radius**2)) for a, c in ((y, centre_y), (x, centre_x)))
        light += (brightness * rows[:, None] * columns).astype(np.float32)
    return light


def _border(cells: NDArray[np.int32], expression: NDArray[np.floating]) -> NDArray[np.floating]:
    """One pixel wide line where the cell number changes, as bright as the cells on its two sides."""
    border = np.zeros(cells.shape, np.float32)
    for here, there, out in (
        (cells[:, :-1], cells[:, 1:], border[:, :-1]),
        (cells[:-1], cells[1:], border[:-1]),
    ):
        np.maximum(out, np.where(here != there, (expression[here] + expression[there]) / 2, 0), out=out)
    return border


def _per_cell(rng: np.random.Generator, count: int, spread: float) -> NDArray[np.floating]:
    """One lognormal factor per cell of mean 1; background, number 0, has none."""
    factor = np.exp(spread * rng.standard_normal(count + 1) - spread**2 / 2).astype(np.float32)
    factor[0] = 0
    return factor


def _wide_blur(light: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
    return enlarge(gaussian_filter(shrink(light, COARSE), sigma / COARSE, truncate=3), COARSE, light.shape)
