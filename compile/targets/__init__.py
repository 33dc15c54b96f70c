"""The targets, by name: one module or folder each, and those of other distributions. None of them knows another.

The contract is compile.target.Target; listing the names imports none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.registry import Registry

if TYPE_CHECKING:
    from compile.target import Target

REGISTRY: Registry[Target] = Registry("targets", __name__, "TARGET")

names, load = REGISTRY.names, REGISTRY.load
