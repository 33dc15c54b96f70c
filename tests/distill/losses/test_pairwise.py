"""Affinities through 2 x 2 matrices against affinities of every pair of nodes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.losses import LossInput
from distill.losses.pairwise import LOSS, Pairwise


def slow(student: np.ndarray, teacher: np.ndarray, node: int) -> float:
    losses = []
    for p, t in zip(student, teacher, strict=True):
        affinities = []
        for image in (p, t):
            rows, columns = (range(0, side, node) for side in image.shape)
            means = [image[row : row + node, column : column + node].mean() for row in rows for column in columns]
            features = [np.array([mean, 1 - mean]) for mean in means]
            affinities.append([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in features] for a in features])
        losses.append(np.square(np.subtract(*affinities)).mean())
    return float(np.mean(losses))


@pytest.mark.parametrize("node", [1, 2, 4, 16])
def test_equals_slow_numpy(node: int, batch_of, arrays):
    """Nodes at the border are narrower (13 x 10 pixels); one node is alike to itself whatever it is."""
    batch = batch_of()
    student, _, teacher = arrays(batch)
    expected = slow(student, teacher, node)
    assert float(Pairwise(node=node)(batch).detach()) == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_small_differences_do_not_drown(batch_of, arrays):
    batch = batch_of()
    near = (batch.teacher.clamp(0.1, 0.9) + 1e-3 * torch.randn(2, 1, 13, 10, generator=torch.manual_seed(0))).logit()
    batch = replace(batch, teacher=batch.teacher.clamp(0.1, 0.9), logits=near.expand(-1, 2, -1, -1))
    student, _, teacher = arrays(batch)
    expected = slow(student, teacher, 1)
    assert expected < 2e-6
    assert float(Pairwise(node=1)(batch)) == pytest.approx(expected, rel=1e-3)


def test_a_large_crop_needs_no_matrix_of_pairs():
    """65536 nodes: the matrix of pairs would take 17 GB."""
    logits = torch.zeros(1, 1, 1024, 1024, requires_grad=True)
    teacher = torch.rand(1, 1, 1024, 1024, generator=torch.Generator().manual_seed(0))
    value = LOSS(LossInput(logits, torch.zeros(1, 1, 1024, 1024), torch.ones(1).bool(), teacher))
    assert torch.isfinite(torch.autograd.grad(value, logits)[0]).all()
