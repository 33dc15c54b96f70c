"""Kendall's weighting against its formula, at its start and at its optimum."""

import math

import pytest
import torch

from distill.weightings.kendall import WEIGHTING

TERMS = {"dice_bce": "classification", "mse": "regression"}
LOSSES = {"dice_bce": 0.6, "mse": 0.04}


def tensors() -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in LOSSES.items()}


def test_equals_the_formula():
    module = WEIGHTING.build(TERMS)
    s = {"dice_bce": 0.3, "mse": -1.2}
    with torch.no_grad():
        module.log_variance.copy_(torch.tensor(list(s.values())))
    classification = math.exp(-0.3) * 0.6 + 0.3 / 2
    regression = math.exp(1.2) * 0.04 / 2 - 1.2 / 2
    assert float(module(tensors()).detach()) == pytest.approx(classification + regression, rel=1e-6)
    assert module.weights() == pytest.approx({"dice_bce": math.exp(-0.3), "mse": math.exp(1.2) / 2})


def test_at_its_optimum_every_term_contributes_one_half():
    module = WEIGHTING.build(TERMS)
    optimizer = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        module(tensors()).backward()
        optimizer.step()
    shares = {name: weight * LOSSES[name] for name, weight in module.weights().items()}
    assert shares == pytest.approx({"dice_bce": 0.5, "mse": 0.5}, rel=1e-3)
