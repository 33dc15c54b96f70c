"""Liebel and Koerner's weighting against its formula, at its start and at its optimum."""

import math

import pytest
import torch

from distill.weightings.liebel import WEIGHTING


def test_equals_the_formula_for_either_kind():
    module = WEIGHTING.build({"dice_bce": "classification", "mse": "regression"})
    s = (0.3, -1.2)
    with torch.no_grad():
        module.log_variance.copy_(torch.tensor(s))
    total = module({"dice_bce": torch.tensor(0.6), "mse": torch.tensor(0.04)})
    expected = sum(
        loss / (2 * math.exp(value)) + math.log(1 + math.exp(value)) for loss, value in zip((0.6, 0.04), s, strict=True)
    )
    assert float(total.detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [0.0, 1e-6, 0.1, 100.0])
def test_the_total_is_never_negative(loss: float):
    module = WEIGHTING.build({"mse": "regression"})
    optimizer = torch.optim.Adam(module.parameters(), 0.2)
    for _ in range(100):
        optimizer.zero_grad()
        total = module({"mse": torch.tensor(loss)})
        assert float(total.detach()) > 0
        total.backward()
        optimizer.step()


def test_a_small_term_gets_the_root_of_kendalls_weight():
    loss = 0.005
    module = WEIGHTING.build({"mse": "regression"})
    optimizer = torch.optim.Adam(module.parameters(), 0.05)
    for _ in range(500):
        optimizer.zero_grad()
        module({"mse": torch.tensor(loss)}).backward()
        optimizer.step()
    assert module.weights()["mse"] == pytest.approx(1 / math.sqrt(2 * loss), rel=0.05)
