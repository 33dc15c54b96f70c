"""Channel-wise distillation against the formula."""

import math
from dataclasses import replace

import numpy as np
import pytest

from distill.losses.cwd import CWD, HALF_STEP, LOSS


def slow(logits: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    values = []
    for z, t in zip(logits, teacher, strict=True):
        t = np.clip(t, HALF_STEP, 1 - HALF_STEP)
        wanted = [math.exp(math.log(p / (1 - p)) / temperature) for p in t.ravel()]
        found = [math.exp(value / temperature) for value in z.ravel()]
        pairs = [(a / sum(wanted), b / sum(found)) for a, b in zip(wanted, found, strict=True)]
        values.append(sum(a * math.log(a / b) for a, b in pairs))
    return temperature**2 * float(np.mean(values))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_equals_slow_numpy(temperature: float, batch_of, arrays):
    batch = batch_of()
    _, _, teacher = arrays(batch)
    expected = slow(batch.logits[:, 0].detach().double().numpy(), teacher, temperature)
    assert float(CWD(temperature=temperature)(batch).detach()) == pytest.approx(expected, rel=1e-5)


def test_a_constant_added_to_all_logits_changes_nothing(batch_of):
    batch = batch_of()
    moved = LOSS(replace(batch, logits=batch.logits + 3))
    assert float(moved.detach()) == pytest.approx(float(LOSS(batch).detach()), rel=1e-4)


def test_a_row_that_is_brighter_is_noticed(batch_of):
    """A softmax over the last axis, image width, would not see it."""
    batch = batch_of()
    logits = batch.teacher.logit(HALF_STEP).expand(-1, 2, -1, -1).clone()
    logits[:, :, 0] += 5
    assert float(LOSS(replace(batch, logits=logits))) > 0.1
