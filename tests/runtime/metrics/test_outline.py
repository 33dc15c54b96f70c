"""Boundary F1 against a slow, literal one, and what it says about masks without an outline."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime.metrics import boundary_f1, outline

MASKS = arrays(bool, (7, 9))


def literal_outline(mask: np.ndarray) -> set[tuple[int, int]]:
    """Pixels of the mask with one of four neighbours inside the image and outside the mask."""
    height, width = mask.shape
    found = set()
    for y, x in zip(*np.nonzero(mask), strict=True):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        if any(0 <= row < height and 0 <= col < width and not mask[row, col] for row, col in around):
            found.add((int(y), int(x)))
    return found


def literal_f1(mask: np.ndarray, truth: np.ndarray, tolerance: float) -> float:
    """The definition, pixel by pixel."""
    found, true = literal_outline(mask), literal_outline(truth)
    if not found and not true:
        return 1.0 if (mask == truth).all() else 0.0
    if not found or not true:
        return 0.0

    def share(ones: set[tuple[int, int]], others: set[tuple[int, int]]) -> float:
        near = [min(np.hypot(y - v, x - u) for v, u in others) <= tolerance for y, x in ones]
        return sum(near) / len(near)

    precision, recall = share(found, true), share(true, found)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@given(MASKS, MASKS, st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0]))
def test_it_is_what_the_definition_says(mask: np.ndarray, truth: np.ndarray, tolerance: float):
    assert boundary_f1(mask, truth, tolerance) == pytest.approx(literal_f1(mask, truth, tolerance))


@given(MASKS)
def test_a_mask_agrees_with_itself(mask: np.ndarray):
    assert boundary_f1(mask, mask) == 1.0


@given(MASKS, MASKS)
def test_it_is_symmetric(mask: np.ndarray, truth: np.ndarray):
    assert boundary_f1(mask, truth) == pytest.approx(boundary_f1(truth, mask))


@pytest.mark.parametrize(("first", "second"), [*product((False, True), repeat=2)])
def test_masks_without_an_outline_agree_or_they_do_not(first: bool, second: bool):
    assert boundary_f1(np.full((8, 8), first), np.full((8, 8), second)) == float(first == second)


def test_the_border_of_the_image_is_no_outline():
    mask = np.zeros((6, 6), bool)
    mask[:3] = True
    np.testing.assert_array_equal(np.nonzero(outline(mask).any(axis=1))[0], [2])


def test_two_pixels_off_is_near_and_three_are_not():
    truth = np.zeros((40, 40), bool)
    truth[:, :20] = True
    assert boundary_f1(np.roll(truth, 2, axis=1) | truth, truth) == 1.0
    assert boundary_f1(np.roll(truth, 3, axis=1) | truth, truth) < 0.2
