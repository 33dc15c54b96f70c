"""Where a teacher computes."""

from __future__ import annotations

import torch

from runtime.errors import InputError


def choose(name: str) -> str:
    """The device that a configuration names; "auto" is the GPU where there is one. InputError where it is not there."""
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        msg = "teacher.device is cuda, but torch sees no GPU here; set it to auto or cpu, or install torch for CUDA."
        raise InputError(msg)
    return "cuda" if has_gpu and name != "cpu" else "cpu"
