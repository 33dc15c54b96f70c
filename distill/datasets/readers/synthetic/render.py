"""One field, from its generator of random numbers to images and labels: the main flow of the physics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.datasets.readers.synthetic.camera import expose
from distill.datasets.readers.synthetic.cells import Cells, place
from distill.datasets.readers.synthetic.light import (
    focus_map,
    illumination,
    membrane_stain,
    nuclear_stain,
    through_optics,
)
from distill.datasets.readers.synthetic.scene import SyntheticScene, Tissue, draw


@dataclass(frozen=True)
class RenderedField:
    """image : (2, H, W) uint16, nucleus and membrane. A nucleus has the number of the cell around it."""

    image: NDArray[np.uint16]
    nuclei: NDArray[np.int32]
    cells: NDArray[np.int32]


def render(rng: np.random.Generator, tissue: Tissue) -> RenderedField:
    """Draw a scene, place its cells on a padded field, light them, and photograph the middle."""
    scene = draw(rng, tissue)
    pad = int(min(scene.geometry.spacing, 48)) + 8
    middle = tuple(slice(pad, pad + n) for n in tissue.size)
    cells = place(rng, (tissue.size[0] + 2 * pad, tissue.size[1] + 2 * pad), scene.geometry)
    image = np.stack([plane[middle] for plane in _planes(rng, cells, scene)])
    lit = image * illumination(rng, tissue.size, scene.optics)
    nuclei, outlines = _number(cells.nuclei[middle], cells.cells[middle])
    return RenderedField(np.stack([expose(rng, plane, scene.camera) for plane in lit]), nuclei, outlines)


def _planes(rng: np.random.Generator, cells: Cells, scene: SyntheticScene) -> list[NDArray[np.float32]]:
    focus = focus_map(rng, cells.cells.shape)
    stains = (
        nuclear_stain(rng, cells, scene.stain, scene.geometry.diameter),
        membrane_stain(rng, cells, scene.stain),
    )
    return [through_optics(rng, light, scene.optics, focus) for light in stains]


def _number(nuclei: NDArray[np.int32], cells: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Number what is in view from 1: first the cells whose nucleus is in view, so that both images agree."""
    whole = np.unique(nuclei[nuclei > 0])
    rest = np.setdiff1d(cells[cells > 0], whole)
    number = np.zeros(max(int(cells.max(initial=0)), 0) + 1, np.int32)
    number[np.concatenate([whole, rest])] = np.arange(1, len(whole) + len(rest) + 1)
    return number[nuclei], number[cells]
