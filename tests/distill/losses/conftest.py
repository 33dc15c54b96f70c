"""One small batch with all that a loss can ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from distill.losses import LossInput

SHAPE = (13, 10)  # pixels; odd, and no square


def labels_of(seed: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Five discs of random places, the later ones over the earlier; int64 (H, W), numbered with gaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int64)
    rows, columns = np.indices(shape)
    for number in (2, 3, 7, 8, 1000):
        row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        labels[np.hypot(rows - row, columns - column) < rng.uniform(0.8, 2.5)] = number
    return labels


@pytest.fixture
def batch_of() -> Callable[..., LossInput]:
    """batch_of(count=2, seed=0, dtype=torch.float32, **fields) -> a labelled batch of two outputs with a teacher."""
    import torch

    from distill.losses import LossInput

    def make(count: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32, **fields: Any) -> LossInput:
        rng = np.random.default_rng(seed)
        instances = np.stack([labels_of(seed + index) for index in range(count)])
        target = np.stack([instances > 0, rng.random(instances.shape) > 0.8], axis=1)
        values: dict[str, Any] = {
            "logits": torch.tensor(rng.normal(0, 2, target.shape), dtype=dtype, requires_grad=True),
            "target": torch.tensor(target, dtype=torch.float32),
            "labelled": torch.ones(count, dtype=torch.bool),
            "teacher": torch.tensor(rng.random((count, 1, *SHAPE)), dtype=torch.float32),
            "instances": torch.tensor(instances),
            "progress": 0.5,
        }
        return LossInput(**{**values, **fields})

    return make


@pytest.fixture
def arrays() -> Callable[[LossInput], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """arrays(batch) -> (foreground probability, its label, the teacher's probability), each float64 (N, H, W)."""

    def convert(batch: LossInput) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert batch.teacher is not None
        logits = batch.logits[:, 0].detach().double().numpy()
        return 1 / (1 + np.exp(-logits)), batch.target[:, 0].double().numpy(), batch.teacher[:, 0].double().numpy()

    return convert
