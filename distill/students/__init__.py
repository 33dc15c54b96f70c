"""The students: one file each, and the file's name is the student's name."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from runtime.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from distill.spec import StudentSpec


class StudentFamily(Protocol):
    """What a file of this folder offers as ``STUDENT``."""

    name: str
    paper_parameters_m: float | None  # millions, as arXiv 2606.00928 quotes them (the backbone); None: it has none
    stride: int  # tile sides must be multiples of it
    no_int8: str | None  # why there is no int8 of it, as a clause without a full stop; None where there is
    head_strides: tuple[int, ...]  # where its decoder may end, the usual one first: 1 full resolution, 2 half
    encoder_from: int | None  # stride of the first of the features whose widths spec.encoder gives; None: it gives none

    def build(self, spec: StudentSpec) -> nn.Module:
        """A module from (N, len(spec.channels), h, w) float32 in [0, 1] to logits (N, len(spec.outputs), h, w).

        spec : one that distill.construction.check has nothing against
        """
        ...


def names() -> list[str]:
    """Names of the students that can be built; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> StudentFamily:
    """The family called ``name``; InputError when there is none."""
    if name not in names():
        msg = f"Unknown student family {name!r}; choose one of {', '.join(names())}."
        raise InputError(msg)
    return import_module(f".{name}", __package__).STUDENT
