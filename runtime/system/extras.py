"""Optional libraries, imported when they are called. What is missing is said with the line that installs it."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import EdgescopeError
from .telemetry import hidden_packages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


UNKNOWN = "unknown version"
NEEDS = {"zarr": (3, 11), "liffile": (3, 11)}  # of Python: the extras leave them out on older ones


def install(extra: str) -> str:
    """The command that installs an extra, quoted so that it works in every shell."""
    thin = version("edgescope") == UNKNOWN != version("edgescope-runtime")  # they must not be installed together
    return f'pip install "edgescope{"-runtime" if thin else ""}[{extra}]"'


def load(module: str, *, extra: str) -> ModuleType:
    """Import an optional module, without its telemetry; EdgescopeError names the extra when it is not installed."""
    if not available(module):
        name = module.partition(".")[0]
        python = NEEDS.get(name, (0,))
        if sys.version_info < python:
            msg = f"{name} needs Python {'.'.join(map(str, python))} or later, and this is {sys.version.split()[0]}."
            raise EdgescopeError(msg)
        msg = f"{name} is not installed; run: {install(extra)}"
        raise EdgescopeError(msg)
    with hidden_packages():
        return import_module(module)


def require(*needed: tuple[str, str], besides: Sequence[tuple[str, str]] = ()) -> None:
    """EdgescopeError that names all that is missing, and the one line that installs it.

    needed : (module, extra); besides : (name, extra) of what is known to be missing
    """
    missing = [*besides, *((module, extra) for module, extra in needed if not available(module))]
    if missing:
        names = ", ".join(name.partition(".")[0] for name, _ in missing)
        extra = ",".join(dict.fromkeys(extra for _, extra in missing))
        msg = f"Not installed: {names}; run: {install(extra)}"
        raise EdgescopeError(msg)


def available(module: str) -> bool:
    """Whether a module can be imported, without importing it (only its parent package, if it has one)."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def version(distribution: str) -> str:
    """Version of an installed distribution (- and _ are the same), or "unknown version"."""
    from importlib import metadata  # 20 ms that `import runtime` does not need

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return UNKNOWN
