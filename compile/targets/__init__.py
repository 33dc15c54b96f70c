"""The targets: one file each, and the file's name is the target's name. None of them knows another.

A target turns a QuantizedGraph into the files of an artefact; where it cannot, `refuses` says why beforehand.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from runtime.errors import InputError

if TYPE_CHECKING:
    from compile.export import QuantizedGraph
    from compile.lowered import Lowered


class Target(Protocol):
    """What a file of this folder offers as ``TARGET``."""

    name: str

    def refuses(self, graph: QuantizedGraph) -> str | None:
        """Why this graph cannot be lowered here, with the remedy; None when it can."""
        ...

    def lower(self, graph: QuantizedGraph) -> Lowered:
        """The files for the device. Nothing is calibrated: the scales are the graph's."""
        ...


def names() -> list[str]:
    """Names of the targets; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Target:
    """The target called ``name``; InputError when there is none."""
    if name not in names():
        msg = f"Unknown target {name!r}; choose one of {', '.join([*names(), 'all'])}."
        raise InputError(msg)
    return import_module(f".{name}", __package__).TARGET
