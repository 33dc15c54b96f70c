"""Where a teacher computes, and where a student is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from runtime.errors import InputError

if TYPE_CHECKING:
    from distill.sections import TrainerSection

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


def check_trainer(section: TrainerSection) -> None:
    """InputError where the accelerator that a training asks for is not here, or there are fewer of it."""
    if section.accelerator in ("auto", "cpu"):
        return
    from lightning.pytorch.accelerators import AcceleratorRegistry, CUDAAccelerator, MPSAccelerator

    name = section.accelerator
    if name == "gpu":
        name = "mps" if MPSAccelerator.is_available() and not CUDAAccelerator.is_available() else "cuda"
    kind = AcceleratorRegistry.get(name)
    if not kind.is_available():
        msg = f"trainer.accelerator is {section.accelerator}, but there is none here; set it to cpu or auto."
        raise InputError(msg)
    if section.devices > (there := kind.auto_device_count()):
        msg = f"trainer.devices is {section.devices}, but this machine has {there}; set it to that, or lower."
        raise InputError(msg)
