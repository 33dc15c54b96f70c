"""Where a teacher computes."""

from __future__ import annotations

import torch

from runtime.errors import InputError

DEVICES = ("auto", "cpu", "cuda")


def choose(name: str) -> str:
    """The device that a configuration names; "auto" is the GPU where there is one. InputError where it is not there."""
    if name not in DEVICES:
        msg = f"teacher.device is {name!r}; choose one of {', '.join(DEVICES)}."
        raise InputError(msg)
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        msg = "teacher.device is cuda, but torch sees no GPU here; set it to auto or cpu, or install torch for CUDA."
        raise InputError(msg)
    return "cuda" if there and name != "cpu" else "cpu"
