"""Threshold and dilate: the row that every student must beat."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from distill.datasets import Sample
from distill.studies.trivial import best_radius, threshold_and_dilate


def field(grown: int, seed: int = 0) -> Sample:
    """Bright nuclei, and cells that reach so many pixels further."""
    rng = np.random.default_rng(seed)
    nuclei = np.zeros((96, 96), bool)
    for row, col in ((20, 20), (60, 70), (75, 25)):
        nuclei[row - 6 : row + 6, col - 6 : col + 6] = True
    frame = (rng.normal(100, 5, nuclei.shape) + 400 * nuclei).astype(np.uint16)
    cells = ndimage.distance_transform_edt(~nuclei) <= grown
    return Sample("a", frame[None], ("nucleus",), {"cells": cells.astype(np.int32)})


@pytest.mark.parametrize("radius", [0, 1, 2.5, 7])
def test_it_is_otsu_and_a_disc(radius: float):
    sample = field(3)
    bright = sample.frame > threshold_otsu(sample.frame)
    rows, cols = np.nonzero(bright)
    y, x = np.indices(bright.shape)
    literal = np.zeros(bright.shape, bool)
    for row, col in zip(rows, cols, strict=True):
        literal |= (y - row) ** 2 + (x - col) ** 2 <= radius**2 + 1e-9
    found = threshold_and_dilate(sample, radius)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found > 0.5, literal)


@pytest.mark.parametrize("grown", [0, 2, 6])
def test_the_radius_of_the_best_dice_is_chosen(grown: int):
    assert best_radius([field(grown), field(grown, 1)], "cells", (0, 2, 4, 6, 8)) == grown


def test_of_equal_radii_the_smallest_is_chosen():
    sample = field(0)
    nothing = Sample("a", sample.image, ("nucleus",), {"cells": np.zeros((96, 96), np.int32)})
    assert best_radius([nothing], "cells", (4, 2, 8)) == 2


def test_a_constant_frame_holds_nothing():
    empty = Sample("a", np.full((1, 8, 8), 7, np.uint8), ("nucleus",), {"cells": np.zeros((8, 8), np.int32)})
    assert not threshold_and_dilate(empty, 5).any()
