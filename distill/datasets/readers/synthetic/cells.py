"""Where the cells are: nuclei on a jittered and relaxed lattice, and around each the cell it belongs to.

A cell is the zone of influence of its nucleus (the pixels nearer to it than to any other), up to the reach of
its cytoplasm. So cells pack without gaps where they are close, stay apart where they are not, and hold their
nucleus whole by construction.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.measure import label as label_equal_values

from distill.datasets.readers.synthetic.noise import smooth
from distill.datasets.readers.synthetic.scene import Geometry

HARMONICS = (2, 3, 4, 5)
SMALLEST_NUCLEUS = 20  # pixels that must stay visible beside its neighbours


@dataclass(frozen=True)
class Cells:
    """Geometry on the padded field. Row i of `numbers` is cell i + 1; a nucleus has the number of its cell.

    depth : 0 in the centre of a nucleus to 1 at its rim
    reach : distance in pixels to the nearest nucleus"""

    cells: NDArray[np.int32]
    nuclei: NDArray[np.int32]
    depth: NDArray[np.floating]
    reach: NDArray[np.floating]
    count: int


@dataclass(frozen=True)
class Ellipses:
    """Centres, half axes and deformed outlines of the nuclei; `colour` tells lattice neighbours apart."""

    centre: NDArray[np.floating]  # (n, 2)
    axes: NDArray[np.floating]  # (n, 2)
    angle: NDArray[np.floating]
    waves: NDArray[np.complexfloating]  # (n, harmonics)
    colour: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.angle)


def place(rng: np.random.Generator, shape: tuple[int, int], geometry: Geometry) -> Cells:
    """Draw nuclei and grow cells around them."""
    nuclei, depth = _paint(_ellipses(rng, shape, geometry), shape)
    nuclei, count = _keep_whole(nuclei)
    if not count:
        nothing = np.zeros(shape, np.int32)
        return Cells(nothing, nothing.copy(), depth, np.full(shape, np.float32(max(shape))), 0)
    cells, reach = _grow(rng, nuclei, count, geometry)
    hidden = rng.random(count + 1) < geometry.anucleate
    return Cells(cells, np.where(hidden[nuclei], 0, nuclei), depth, reach, count)


def _ellipses(rng: np.random.Generator, shape: tuple[int, int], geometry: Geometry) -> Ellipses:
    lattice = rng.uniform(0, np.pi)
    centre, colour = _sites(rng, shape, geometry, lattice)
    stroma = _at(smooth(rng, shape, 90), centre) > 1.0  # fibroblasts: thin, and aligned with each other
    flow = lattice + 0.8 * _at(smooth(rng, shape, 110), centre)
    n = len(centre)
    elongation = geometry.elongation * rng.gamma(4, 0.25, n) + np.where(stroma, rng.uniform(0.3, 1.2), 0)
    ratio = np.sqrt(1 + np.clip(elongation, 0, 1.6))
    radius = geometry.diameter / 2 * np.exp(geometry.diameter_spread * rng.standard_normal(n))
    radius *= np.where(rng.random(n) < 0.02, 0.6, np.where(stroma, 0.85, 1.0))
    radius = np.clip(radius, 3.5, 24)
    disorder = np.where(stroma, 0.25, 1.2 / (1 + 6 * (geometry.stretch - 1)))
    angle = flow + disorder * rng.standard_normal(n)
    strength = geometry.lumpiness * rng.rayleigh(1, (n, len(HARMONICS))) * (2 / np.array(HARMONICS)) ** 1.5
    waves = strength * np.exp(1j * rng.uniform(0, 2 * np.pi, strength.shape))
    return Ellipses(
        centre.astype(np.float32),
        (radius[:, None] * np.stack([ratio, 1 / ratio], 1)).astype(np.float32),
        angle.astype(np.float32),
        waves.astype(np.complex64),
        colour,
    )


def _sites(
    rng: np.random.Generator, shape: tuple[int, int], geometry: Geometry, angle: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Centres (n, 2) of the cells inside the padded field, and their colour on the lattice (four in all)."""
    reach = np.hypot(*shape) / 2 + geometry.spacing
    row_step, column_step = geometry.spacing * 0.87 / np.sqrt(geometry.stretch), geometry.spacing
    column_step *= np.sqrt(geometry.stretch)
    rows, columns = (np.arange(-(reach // step) - 1, reach // step + 2) for step in (row_step, column_step))
    row, column = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    lattice = np.stack([row * row_step, (column + 0.5 * (row % 2)) * column_step], 1)
    lattice += geometry.jitter * geometry.spacing * np.clip(rng.standard_normal(lattice.shape), -2, 2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = lattice @ turn + (np.array(shape) - 1) / 2
    colour = ((row % 2) * 2 + column % 2).astype(np.int64)
    inside = ((centre > -geometry.diameter) & (centre < np.array(shape) + geometry.diameter)).all(1)
    centre, colour = centre[inside], colour[inside]
    tissue = _at(smooth(rng, shape, rng.uniform(50, 160)), centre) < 3 * (geometry.tissue - 0.5)
    kept = tissue & (rng.random(len(centre)) < geometry.present) & (not geometry.empty)
    return _relax(centre[kept], 0.85 * geometry.spacing / np.sqrt(geometry.stretch)), colour[kept]


def _relax(centre: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Push apart what is closer than `distance`, twice by half of what is missing."""
    for _ in range(2):
        if len(centre) < 2:
            break
        pairs = KDTree(centre).query_pairs(distance, output_type="ndarray")
        first, second = pairs.T
        apart = centre[first] - centre[second]
        length = np.linalg.norm(apart, axis=1, keepdims=True) + 1e-6
        push = apart / length * (distance - length) / 4
        for axis in (0, 1):
            centre[:, axis] += np.bincount(first, push[:, axis], len(centre))
            centre[:, axis] -= np.bincount(second, push[:, axis], len(centre))
    return centre


def _paint(ellipses: Ellipses, shape: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """Labels and depth. Where outlines overlap, a pixel goes to the nucleus in which it lies deeper."""
    labels = np.zeros(shape[0] * shape[1], np.int32)
    depth = np.ones(labels.size, np.float32)
    for colour in range(4):  # lattice neighbours differ in it: within a pass hardly any pixel is hit twice
        chosen = np.flatnonzero(ellipses.colour == colour)
        if not len(chosen):
            continue
        pixel, owner, deep = _inside(ellipses, chosen, shape)
        wins = deep < depth[pixel]
        labels[pixel[wins]] = owner[wins] + 1
        depth[pixel[wins]] = deep[wins]
    return labels.reshape(shape), depth.reshape(shape)


def _inside(
    ellipses: Ellipses, chosen: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]:
    """All pixels inside the chosen outlines: flat index, number of the nucleus, depth."""
    half = int(np.ceil(ellipses.axes[chosen].max() * 1.3))
    step = np.arange(-half, half + 1)
    corner = np.rint(ellipses.centre[chosen]).astype(np.int64)
    y = corner[:, 0, None, None] + step[:, None]
    x = corner[:, 1, None, None] + step
    dy = (y - ellipses.centre[chosen, 0, None, None]).astype(np.float32)
    dx = (x - ellipses.centre[chosen, 1, None, None]).astype(np.float32)
    cos, sin = (f(ellipses.angle[chosen])[:, None, None] for f in (np.cos, np.sin))
    u = (dx * cos + dy * sin) / ellipses.axes[chosen, 0, None, None]
    v = (dy * cos - dx * sin) / ellipses.axes[chosen, 1, None, None]
    square = u * u + v * v
    near = (square < 1.7) & (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    which, i, j = np.nonzero(near)
    radius = np.sqrt(square[near]) + np.float32(1e-6)
    owner = chosen[which]
    depth = radius / _outline((u[near] + 1j * v[near]) / radius, ellipses.waves[owner])
    inside = depth < 1
    pixel = (corner[which, 0] + step[i]) * shape[1] + corner[which, 1] + step[j]
    return pixel[inside], owner[inside], depth[inside]


def _outline(direction: NDArray[np.complexfloating], waves: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """Radius of the deformed outline in a direction, a unit complex number: 1 + sum of harmonics (its powers)."""
    power, outline = direction, np.ones(direction.shape, np.float32)
    for index in range(len(HARMONICS)):
        power = power * direction
        outline += (power * waves[:, index]).real
    return np.maximum(outline, np.float32(0.6))


def _keep_whole(nuclei: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Each nucleus in one piece and not too small, numbered from 1."""
    pieces: Any = label_equal_values(nuclei, background=0, connectivity=1)
    area = np.bincount(pieces.ravel())
    area[0] = 0
    owner = np.zeros(len(area), np.int64)
    owner[pieces.ravel()] = nuclei.ravel()
    largest_first = np.argsort(-area, kind="stable")
    _, first = np.unique(owner[largest_first], return_index=True)
    kept = np.zeros(len(area), bool)
    kept[largest_first[first]] = True
    kept &= area >= SMALLEST_NUCLEUS
    number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return number[pieces], int(kept.sum())


def _grow(
    rng: np.random.Generator, nuclei: NDArray[np.int32], count: int, geometry: Geometry
) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """Cells around nuclei, and the distance to the nearest nucleus.

    The reach is looked up where the nearest nuclear pixel is: all pixels on the way there share it, so a cell
    stays in one piece."""
    found: Any = ndimage.distance_transform_edt(nuclei == 0, return_indices=True)
    reach, (row, column) = found[0].astype(np.float32), found[1]
    own = geometry.cytoplasm * np.exp(0.25 * rng.standard_normal(count + 1))
    rugged = np.exp(0.35 * smooth(rng, nuclei.shape, max(4.0, geometry.diameter / 3)))
    nearest = nuclei[row, column]
    allowed = np.maximum(1.0, own[nearest] * rugged[row, column])
    return np.where(reach <= allowed, nearest, 0), reach


def _at(image: NDArray[np.floating], centre: NDArray[np.float64]) -> NDArray[np.floating]:
    row, column = (np.clip(centre[:, axis], 0, image.shape[axis] - 1).astype(int) for axis in (0, 1))
    return image[row, column]
