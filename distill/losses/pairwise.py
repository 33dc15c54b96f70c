"""Pair-wise distillation: which places of a crop are alike (Liu et al. 2019, arXiv 1903.04197).

Nodes are the means over `node` x `node` pixels; a node's feature is its class distribution f = (p, 1 - p), because the
cosine of single numbers is their sign alone. Affinity a_ij = f_i . f_j / (|f_i| |f_j|) between all n nodes of a crop;
loss = mean over crops of 1 / n^2 sum_ij (a^s_ij - a^t_ij)^2. Probabilities are compared: no teacher's logit is needed.

The n x n affinities are never built. With the unit vectors of the nodes as rows of A (student) and B (teacher),
D = A - B and S = A + B: A A' - B B' = (D S' + S D') / 2, so the sum of its squares is
(trace(D'D S'S) + trace(S'D S'D)) / 2, from 2 x 2 matrices: memory grows with n, and nothing cancels near the optimum.
Every crop counts, labelled or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import avg_pool2d, normalize

from distill.losses import Loss
from runtime.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from distill.losses import LossInput


@dataclass(frozen=True)
class Pairwise(Loss):
    """node : side of a node, pixels."""

    name = "pairwise"
    role = "matching"
    kind = "regression"
    without_labels = True
    node: int = 4

    def __post_init__(self) -> None:
        if self.node < 1:
            msg = f"The node of the loss 'pairwise' is {self.node} px wide; it must be at least 1."
            raise InputError(msg)

    def __call__(self, batch: LossInput) -> Tensor:
        student = self._directions(batch.foreground.sigmoid())
        teacher = self._directions(batch.teacher_foreground(self.name))
        difference, total = student - teacher, student + teacher
        mixed = _products(total, difference)
        squares = _products(difference, difference) * _products(total, total) + mixed * mixed.mT
        return squares.sum((1, 2)).mean() / 2

    def _directions(self, probability: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 2, n): the unit vector of each node's (p, 1 - p)."""
        pooled = avg_pool2d(probability, self.node, ceil_mode=True).flatten(2)
        return normalize(torch.cat([pooled, 1 - pooled], dim=1), dim=1)


def _products(left: Tensor, right: Tensor) -> Tensor:
    """(N, 2, n) twice -> (N, 2, 2): left right' / n. Summed by hand: autocast would do a matmul in half precision."""
    return (left[:, :, None] * right[:, None]).mean(-1)


LOSS = Pairwise()
