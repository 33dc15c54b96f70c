"""Instances are counted; classes, smoothed edges and images are refused with the reason."""

import numpy as np
import pytest
from scipy import ndimage

from distill.datasets.annotations.instances import interpret
from runtime.errors import InputError


def discs(count: int = 9) -> np.ndarray:
    """Separate discs, numbered from 1, uint8 (64, 64)."""
    labels = np.zeros((64, 64), np.uint8)
    rows, cols = np.mgrid[:64, :64]
    for number in range(count):
        row, col = 10 + 20 * (number // 3), 10 + 20 * (number % 3)
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= 36] = number + 1
    return labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_instances_are_kept(dtype):
    result = interpret(discs().astype(dtype) * dtype(3), "a.tif")
    assert not result.from_mask
    np.testing.assert_array_equal(result.labels, discs())


@pytest.mark.parametrize("value", [1, 128, 255])
def test_a_mask_becomes_its_components(value):
    result = interpret((discs() > 0).astype(np.uint8) * np.uint8(value), "a.tif")
    assert result.from_mask
    assert result.labels.max() == 9


def test_some_instances_in_two_pieces_are_instances():
    labels = discs()
    labels[10], labels[30] = 0, 0  # six of nine are cut in two
    assert interpret(labels, "a.tif").labels.max() == 9


def classes():
    return np.where(discs() % 2 > 0, 1, 2).astype(np.uint8) * (discs() > 0)


def interior_and_border():
    inside = ndimage.binary_erosion(discs() > 0)
    return (discs() > 0).astype(np.uint8) + inside


def unsure():
    return np.where(discs() == 1, 128, 255).astype(np.uint8) * (discs() > 0)


def smoothed():
    return (ndimage.gaussian_filter((discs() > 0).astype(float), 1) * 255).astype(np.uint8)


def photograph():
    return np.random.default_rng(0).integers(0, 200, (64, 64)).astype(np.uint8)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (classes, r"values 1, 2 in 9 separate pieces: classes, not objects"),
        (interior_and_border, r"values 1, 2 in 18 separate pieces: classes"),
        (unsure, "values 128, 255 in 9 separate pieces: classes"),
        (smoothed, "smoothed edges of a mask"),
        (photograph, "smoothed edges of a mask, or an image"),
        (lambda: discs() / 10, "give whole numbers from 0"),
        (lambda: discs().astype(np.int16) - 1, "hold -1 to 8"),
    ],
)
def test_what_is_no_object_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        interpret(make(), "a.tif")
