"""The boundary loss against distances from every pixel to every pixel."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.losses.kervadec import LOSS, signed_distance


def slow_distance(mask: np.ndarray) -> np.ndarray:
    result = np.zeros(mask.shape)
    for place in np.ndindex(mask.shape):
        others = np.argwhere(mask != mask[place])
        if len(others):
            distance = np.hypot(*(others - place).T).min() - 0.5
            result[place] = -distance if mask[place] else distance
    return result


def test_equals_slow_numpy(batch_of, arrays):
    batch = batch_of()
    student, truth, _ = arrays(batch)
    distance = np.stack([slow_distance(mask > 0.5) for mask in truth])
    assert float(LOSS(batch).detach()) == pytest.approx(0.5 * (distance * (student - truth)).mean(), rel=1e-5)


def test_a_step_of_one_pixel_is_half_a_pixel_to_either_side():
    mask = np.arange(6) > 2
    assert signed_distance(np.tile(mask, (4, 1)))[0].tolist() == [2.5, 1.5, 0.5, -0.5, -1.5, -2.5]


@pytest.mark.parametrize("value", [False, True], ids=["empty", "full"])
def test_without_an_outline_there_is_no_distance(value: bool):
    assert not signed_distance(np.full((5, 7), value)).any()


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_it_is_ramped_in(progress: float, share: float, batch_of):
    batch = batch_of()
    whole = LOSS(replace(batch, progress=1.0)).detach()
    assert float(LOSS(replace(batch, progress=progress)).detach()) == pytest.approx(share * float(whole))


def test_any_wrong_pixel_costs(batch_of):
    batch = batch_of(count=1)
    right = 60 * batch.target - 30
    for row, column in [(0, 0), (6, 4), (12, 9)]:
        wrong = right.clone()
        wrong[0, 0, row, column] *= -1
        assert float(LOSS(replace(batch, logits=wrong))) > float(LOSS(replace(batch, logits=right)))


def test_the_gradient_is_the_papers(batch_of, arrays):
    batch = batch_of(progress=1.0)
    student, truth, _ = arrays(batch)
    distance = np.stack([slow_distance(mask > 0.5) for mask in truth])
    expected = distance * student * (1 - student) / distance.size  # of the mean of phi p, without the constant
    found = torch.autograd.grad(LOSS(batch), batch.logits)[0][:, 0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-8)
