"""What one field is like, drawn once per field: everything else follows from these numbers.

Ranges are wide on purpose. Sparse culture and dense epithelium, lymphocytes and hepatocytes, a good and a
poor stain, a sharp and a defocused stage, 12-bit and 16-bit cameras all occur, in one continuous distribution.
"""

from dataclasses import dataclass

import numpy as np

BITS = (12, 14, 16, 16)


@dataclass(frozen=True)
class Tissue:
    """The options of the generator.

    size : (height, width) in pixels
    nucleus_px : range of the fields' mean nuclear diameters
    density : range from 0 (sparse culture) to 1 (dense epithelium)
    empty : share of the fields without any cell"""

    size: tuple[int, int] = (256, 256)
    pixel_size_um: float = 0.5
    nucleus_px: tuple[float, float] = (9.0, 38.0)
    density: tuple[float, float] = (0.0, 1.0)
    empty: float = 0.03


@dataclass(frozen=True)
class Geometry:
    """Sizes in pixels; spreads are standard deviations of logarithms."""

    empty: bool
    density: float
    diameter: float
    diameter_spread: float
    spacing: float
    jitter: float  # of the spacing
    stretch: float  # of the lattice, and the alignment of nuclei with it
    elongation: float  # mean long axis over short axis, minus one
    lumpiness: float  # amplitude of the outline's harmonics
    present: float  # share of the sites inside the tissue that hold a cell
    tissue: float  # share of the field that is tissue
    cytoplasm: float  # how far a cell reaches beyond its nucleus, where no neighbour stops it
    anucleate: float  # share of cells whose nucleus lies outside the section


@dataclass(frozen=True)
class Stain:
    """Brightness relative to a mean nucleus, which is 1; lengths in pixels."""

    nucleus_spread: float
    dome: float  # 0 flat section, 1 whole nucleus, thinner towards its rim
    texture: float
    grain: float
    chromocentres: float
    nucleoli: float
    cytoplasm: float  # of the nuclear stain
    background: float
    haze: float  # nuclei above and below the focal plane
    fibres: float
    debris: float  # expected number of specks
    membrane: float
    membrane_width: float
    membrane_gaps: float
    membrane_spread: float
    membrane_cytoplasm: float


@dataclass(frozen=True)
class Optics:
    """Blur in pixels, illumination relative to the brightest point."""

    sharp: float
    defocus: float  # extra blur where the field is out of focus
    halo: float  # share of the light that is scattered widely
    vignette: float


@dataclass(frozen=True)
class CameraNoise:
    """Photons of a mean nucleus, then electrons to grey values."""

    photons: float
    read_noise: float
    exposure: float  # the brightest signal over the full scale; above 1 it saturates
    bits: int
    offset: float
    hot_pixels: float  # share


@dataclass(frozen=True)
class SyntheticScene:
    """One field's parameters."""

    geometry: Geometry
    stain: Stain
    optics: Optics
    camera: CameraNoise


def draw(rng: np.random.Generator, tissue: Tissue) -> SyntheticScene:
    """Draw a field's parameters within the options."""
    density = rng.uniform(*tissue.density)
    geometry = _geometry(rng, tissue, density)
    stain = _stain(rng, density, geometry.diameter)
    return SyntheticScene(geometry, stain, _optics(rng, geometry.diameter), _camera(rng))


def _geometry(rng: np.random.Generator, tissue: Tissue, density: float) -> Geometry:
    diameter = _log_uniform(rng, *tissue.nucleus_px)
    return Geometry(
        empty=bool(rng.random() < tissue.empty),
        density=density,
        diameter=diameter,
        diameter_spread=rng.uniform(0.08, 0.22),
        spacing=diameter * (0.98 + rng.uniform(0.0, 0.5) + rng.uniform(0.4, 1.2) * (1 - density)),
        jitter=rng.uniform(0.2, 0.36),
        stretch=1 + 0.5 * rng.beta(1, 2.5),
        elongation=rng.uniform(0.05, 0.6),
        lumpiness=rng.uniform(0.01, 0.06),
        present=float(np.clip(0.2 + 0.9 * density + rng.uniform(-0.1, 0.2), 0.15, 1)),
        tissue=rng.uniform(0.35 + 0.4 * density, 1.3),
        cytoplasm=diameter * _reach(rng, density),
        anucleate=rng.choice((0.0, rng.uniform(0, 0.08))),
    )


def _reach(rng: np.random.Generator, density: float) -> float:
    """Epithelia fill the plane; elsewhere a cell may be a thin rim around its nucleus, or wide."""
    return rng.uniform(0.8, 2.0) if rng.random() < 0.8 * density else _log_uniform(rng, 0.12, 0.9)


def _stain(rng: np.random.Generator, density: float, diameter: float) -> Stain:
    return Stain(
        nucleus_spread=rng.uniform(0.1, 0.5),
        dome=rng.uniform(0.1, 0.9),
        texture=rng.uniform(0.05, 0.4),
        grain=max(0.8, diameter * rng.uniform(0.03, 0.09)),
        chromocentres=rng.choice((0.0, 0.0, rng.uniform(0.2, 0.9))),
        nucleoli=rng.uniform(0.0, 0.45),
        cytoplasm=_log_uniform(rng, 0.005, 0.2),
        background=_log_uniform(rng, 0.01, 0.4),
        haze=rng.beta(1.2, 3) * (0.25 + 0.6 * density),
        fibres=rng.choice((0.0, 0.0, 0.0, rng.uniform(0.03, 0.25))),
        debris=rng.choice((0.0, rng.uniform(0, 4))),
        membrane=_log_uniform(rng, 0.15, 2.0),
        membrane_width=rng.uniform(0.6, 1.6),
        membrane_gaps=rng.uniform(0.0, 0.9),
        membrane_spread=rng.uniform(0.1, 0.9),
        membrane_cytoplasm=_log_uniform(rng, 0.03, 0.4),
    )


def _optics(rng: np.random.Generator, diameter: float) -> Optics:
    return Optics(
        sharp=rng.uniform(0.6, 0.6 + 0.045 * diameter),
        defocus=rng.choice((0.0, rng.uniform(0.02, 0.11) * diameter)),
        halo=rng.uniform(0.02, 0.2),
        vignette=rng.beta(1, 2) * 0.6,
    )


def _camera(rng: np.random.Generator) -> CameraNoise:
    return CameraNoise(
        photons=_log_uniform(rng, 25, 3000),
        read_noise=rng.uniform(0.8, 5),
        exposure=_log_uniform(rng, 0.04, 1.4),
        bits=int(rng.choice(BITS)),
        offset=rng.uniform(10, 300),
        hot_pixels=rng.choice((0.0, 0.0, 0.0, rng.uniform(0, 3e-4))),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
