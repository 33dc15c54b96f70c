"""The Bernoulli divergence at a temperature against the formula."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.losses.hinton import HALF_STEP, LOSS, Hinton


def slow(logits: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    values = []
    for z, t in zip(logits.ravel(), teacher.ravel(), strict=True):
        t = min(max(t, HALF_STEP), 1 - HALF_STEP)
        q = 1 / (1 + math.exp(-math.log(t / (1 - t)) / temperature))
        r = 1 / (1 + math.exp(-z / temperature))
        values.append(q * math.log(q / r) + (1 - q) * math.log((1 - q) / (1 - r)))
    return temperature**2 * float(np.mean(values))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_equals_slow_numpy(temperature: float, batch_of, arrays):
    batch = batch_of()
    _, _, teacher = arrays(batch)
    expected = slow(batch.logits[:, 0].detach().numpy(), teacher, temperature)
    assert float(Hinton(temperature=temperature)(batch).detach()) == pytest.approx(expected, rel=1e-5)


def test_a_certain_teacher_is_as_certain_as_its_storage(batch_of, arrays):
    batch = batch_of()
    batch = replace(batch, teacher=batch.teacher.round())
    _, _, teacher = arrays(batch)
    expected = slow(batch.logits[:, 0].detach().numpy(), teacher, LOSS.temperature)
    assert float(LOSS(batch).detach()) == pytest.approx(expected, rel=1e-5)


def test_every_code_of_the_store_is_told_from_its_neighbours():
    codes = (torch.arange(256) / 255).logit(HALF_STEP)
    assert (codes.diff() > 0).all()


def test_a_high_temperature_compares_logits(batch_of):
    """Section 2.1 of the paper: in the limit the gradient is that of the squared difference of logits."""
    batch = batch_of(dtype=torch.float64)
    difference = batch.foreground - batch.teacher_foreground("hinton").logit(HALF_STEP)
    expected = float(difference.square().mean().detach()) / 8
    assert float(Hinton(temperature=1000.0)(batch).detach()) == pytest.approx(expected, rel=1e-3)
