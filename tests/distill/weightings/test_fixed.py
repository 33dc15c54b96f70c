"""Fixed weights: a plain weighted sum."""

import pytest
import torch

from distill.weightings.fixed import WEIGHTING

TERMS = {"dice_bce": "classification", "mse": "regression"}


def test_the_total_is_the_weighted_sum():
    module = WEIGHTING.build(TERMS, {"mse": 10.0})
    assert float(module({"dice_bce": torch.tensor(0.5), "mse": torch.tensor(0.02)})) == pytest.approx(0.7)


def test_zero_switches_a_term_off():
    module = WEIGHTING.build(TERMS, {"mse": 0.0})
    assert float(module({"dice_bce": torch.tensor(0.5), "mse": torch.tensor(9.0)})) == pytest.approx(0.5)


def test_nothing_is_learnt():
    assert not list(WEIGHTING.build(TERMS).parameters())
