"""How long a step of the optimiser takes on this machine, measured before minutes are turned into steps."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import torch

from distill import students
from distill.training.data import TrainingData
from distill.training.module import Phase

if TYPE_CHECKING:
    from distill.config.sections import Config

STEPS = 3


def seconds_per_step(config: Config) -> float:
    """Seconds of one training step, crops included, after a warm-up."""
    data = TrainingData(config).for_phase(config.float, 0)
    model = students.load(data.spec.family).build(data.spec).to(memory_format=torch.channels_last).train()
    phase = Phase(model, config.float, data.spec, config)
    taken = []
    for _ in range(STEPS + 1):
        start = perf_counter()
        images = data.first_images(config.float.batch)
        phase.model(images.contiguous(memory_format=torch.channels_last)).square().mean().backward()
        taken.append(perf_counter() - start)
    return min(taken[1:])
