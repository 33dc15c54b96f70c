"""The targets, by name: one module or folder each, and those of other distributions. None of them knows another.

The contract is compile.target.Target; listing the names imports none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.registry import Registry

if TYPE_CHECKING:
    from compile.target import Target

REGISTRY: Registry[Target] = Registry("targets", __name__, "TARGET")


def names() -> tuple[str, ...]:
    """All names, sorted; imports no target."""
    return REGISTRY.names()


def load(name: str) -> Target:
    """The target of this name; InputError lists the names when there is none."""
    return REGISTRY.load(name)
