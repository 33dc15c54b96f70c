"""Outlines by pooling against outlines pixel by pixel."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.losses import LossInput
from distill.losses.gradient import LOSS, SMOOTH, SOFTEN, Gradient, outline


def slow_outline(image: np.ndarray, kernel: int) -> np.ndarray:
    """Largest minus smallest value in the part of the window that lies in the image."""
    result, half = np.zeros_like(image), kernel // 2
    for row, column in np.ndindex(image.shape):
        window = image[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
        result[row, column] = window.max() - window.min()
    return result


def slow(student: np.ndarray, wanted: np.ndarray, kernel: int, bce: bool) -> float:
    losses, entropies = [], []
    for p, y in zip(student, wanted, strict=True):
        overlap = total = 0.0
        for a, b in zip(slow_outline(p, kernel).ravel(), slow_outline(y, kernel).ravel(), strict=True):
            overlap += a * b
            total += a * a + b * b
            chance = (a + SOFTEN) / (1 + 2 * SOFTEN)
            entropies.append(-b * math.log(chance) - (1 - b) * math.log(1 - chance))
        losses.append(1 - (2 * overlap + SMOOTH) / (total + SMOOTH))
    return float(np.mean(losses) + bce * np.mean(entropies))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("bce", [False, True])
def test_equals_slow_numpy(kernel: int, bce: bool, batch_of, arrays):
    batch = batch_of()
    student, truth, _ = arrays(batch)
    found = Gradient(kernel=kernel, bce=bce)(batch)
    assert float(found.detach()) == pytest.approx(slow(student, truth, kernel, bce), rel=1e-5)


def test_crops_without_labels_learn_the_outline_of_the_teacher(batch_of, arrays):
    batch = batch_of(labelled=torch.tensor([True, False]))
    student, truth, teacher = arrays(batch)
    expected = slow(student, np.stack([truth[0], teacher[1]]), 3, bce=False)
    assert float(LOSS(batch).detach()) == pytest.approx(expected, rel=1e-5)


def test_a_teachers_soft_outline_is_the_best_answer_to_it(batch_of):
    batch = batch_of(labelled=torch.zeros(2, dtype=torch.bool))
    soft = 0.3 + 0.4 * batch.target[:, :1]
    costs = [
        float(LOSS(replace(batch, teacher=soft, logits=(0.5 + factor * (soft - 0.5)).logit().expand(-1, 2, -1, -1))))
        for factor in (0.9, 1.0, 1.1)
    ]
    assert costs[1] == pytest.approx(0, abs=1e-6)
    assert min(costs[0], costs[2]) > 1e-3


def test_the_outline_of_a_mask_is_the_two_pixels_astride_it():
    mask = torch.zeros(1, 1, 9, 9)
    mask[:, :, :, 4:] = 1
    assert outline(mask, 3)[0, 0, 0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0]


def test_the_border_of_a_crop_is_no_outline():
    assert not outline(torch.ones(1, 1, 6, 5), 3).any()


def test_a_shifted_outline_costs_more_the_farther_it_is_shifted():
    logits = torch.full((1, 1, 32, 32), -10.0)
    logits[:, :, 8:24, 8:24] = 10
    target = (logits > 0).float()
    costs = [float(LOSS(LossInput(logits.roll(shift, 3), target, torch.ones(1).bool()))) for shift in (0, 1, 2)]
    assert costs == sorted(costs)
    assert costs[0] < 0.001 < costs[1] < costs[2]


def test_the_cross_entropy_has_a_gradient_where_an_outline_is_missed_altogether(batch_of):
    batch = batch_of()
    logits = (0.001 * batch.logits.detach() - 12).requires_grad_()  # outlines of the order of 1e-8
    value = Gradient(bce=True)(replace(batch, logits=logits))
    assert torch.autograd.grad(value, logits)[0].abs().max() > 1e-6
