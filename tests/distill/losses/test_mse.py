"""Probability matching against the formula."""

import numpy as np
import pytest

from distill.losses.mse import LOSS


def test_equals_slow_numpy(batch_of, arrays):
    batch = batch_of()
    student, _, teacher = arrays(batch)
    expected = np.mean([(p - t) ** 2 for p, t in zip(student.ravel(), teacher.ravel(), strict=True)])
    assert float(LOSS(batch).detach()) == pytest.approx(expected, rel=1e-5)
