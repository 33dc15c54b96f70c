"""Soft Dice + BCE against slow numpy, with its gradient by finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill import losses
from distill.losses.dice_bce import LOSS, SMOOTH, dice_bce
from runtime.errors import InputError


def slow(logits: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Pixel by pixel, float64."""
    dices, entropies = [], []
    for sample in range(logits.shape[0]):
        for channel in range(logits.shape[1]):
            overlap = total = 0.0
            for z, y in zip(logits[sample, channel].ravel(), target[sample, channel].ravel(), strict=True):
                p = 1 / (1 + math.exp(-z))
                overlap += p * y
                total += p + y
                entropies.append(-(y * math.log(p) + (1 - y) * math.log(1 - p)))
            dices.append((2 * overlap + SMOOTH) / (total + SMOOTH))
    return {"dice": 1 - float(np.mean(dices)), "bce": float(np.mean(entropies))}


@pytest.fixture
def example() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 2, (2, 2, 5, 4)), (rng.random((2, 2, 5, 4)) > 0.5).astype(float)


def test_equals_slow_numpy(example):
    logits, target = example
    found = dice_bce(torch.from_numpy(logits), torch.from_numpy(target).float())
    assert {name: float(value) for name, value in found.items()} == pytest.approx(slow(logits, target), rel=1e-5)


def test_soft_targets_are_taken(example):
    logits, target = example
    found = dice_bce(torch.from_numpy(logits), torch.from_numpy(0.3 + 0.4 * target).float())
    expected = slow(logits, 0.3 + 0.4 * target)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-5)


def test_the_dice_may_be_of_the_first_outputs_alone(example):
    logits, target = torch.from_numpy(example[0]), torch.from_numpy(example[1])
    first, both, more = (dice_bce(logits, target, count) for count in (1, 0, 2))
    assert float(first["dice"]) == pytest.approx(float(dice_bce(logits[:, :1], target[:, :1])["dice"]))
    assert float(first["bce"]) == float(both["bce"])  # of all of them
    assert float(more["dice"]) == float(both["dice"]) != float(first["dice"])


def test_how_many_outputs_is_an_option_of_the_loss():
    assert losses.load("dice_bce", options={"dice_outputs": 1}).dice_outputs == 1
    with pytest.raises(InputError, match="'dice_outputs' of the loss 'dice_bce' is -1"):
        losses.load("dice_bce", options={"dice_outputs": -1})


@pytest.mark.parametrize("term", ["dice", "bce"])
def test_the_gradient_equals_finite_differences(example, term: str):
    values, target = example
    logits = torch.from_numpy(values).float().requires_grad_()
    dice_bce(logits, torch.from_numpy(target).float())[term].backward()
    assert logits.grad is not None
    step = 1e-5
    for place in [(0, 0, 0, 0), (1, 0, 2, 3), (0, 1, 4, 1), (1, 1, 3, 2)]:
        up, down = values.copy(), values.copy()
        up[place] += step
        down[place] -= step
        slope = (slow(up, target)[term] - slow(down, target)[term]) / (2 * step)
        assert float(logits.grad[place]) == pytest.approx(slope, rel=1e-3, abs=1e-7)


def test_an_empty_crop_with_nothing_found_costs_nothing():
    found = dice_bce(torch.full((1, 2, 64, 64), -30.0), torch.zeros(1, 2, 64, 64))
    assert float(found["dice"]) == pytest.approx(0, abs=1e-5)
    assert float(found["bce"]) == pytest.approx(0, abs=1e-5)


def test_an_empty_crop_with_something_found_costs():
    found = dice_bce(torch.full((1, 1, 64, 64), 3.0), torch.zeros(1, 1, 64, 64))
    assert float(found["dice"]) > 0.9
    assert float(found["bce"]) > 1


def test_a_full_crop_that_is_found_costs_nothing():
    found = dice_bce(torch.full((1, 1, 64, 64), 30.0), torch.ones(1, 1, 64, 64))
    assert float(found["dice"]) == pytest.approx(0, abs=1e-5)
    assert float(found["bce"]) == pytest.approx(0, abs=1e-5)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[[[1e4, -1e4]]]], requires_grad=True)
    torch.stack(list(dice_bce(logits, torch.tensor([[[[0.0, 1.0]]]])).values())).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_half_precision_logits_are_summed_in_float32():
    found = dice_bce(torch.full((1, 1, 512, 512), 12.0).bfloat16(), torch.ones(1, 1, 512, 512))
    assert found["dice"].dtype == torch.float32
    assert float(found["dice"]) == pytest.approx(0, abs=1e-4)


def test_the_loss_of_a_labelled_batch_is_the_sum_of_the_terms_to_the_bit(batch_of):
    batch = batch_of(count=3)
    logits = batch.logits.detach().contiguous(memory_format=torch.channels_last)
    expected = torch.stack(list(dice_bce(logits, batch.target).values())).sum()
    assert torch.equal(LOSS(replace(batch, logits=logits)), expected)
