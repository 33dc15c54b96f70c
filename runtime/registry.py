"""One registry for every kind of plug-in: targets, backends, students, teachers, data readers, losses, metrics, ...

A plug-in is one module or one folder in the folder of its kind; its name is its name, and it offers one object under
the kind's attribute. Names that begin with an underscore are not plug-ins. Other distributions add theirs by an entry
point of the group `edgescope.KIND`, for example in their pyproject.toml:

    [project.entry-points."edgescope.targets"]
    workstation = "their_package.workstation"

Listing the names imports no plug-in.
"""

from __future__ import annotations

import pkgutil
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from .errors import EdgescopeError, InputError, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The plug-ins of one kind.

    kind : plural, as in the entry-point group: "targets"
    package : the folder that holds the built-in ones: "compile.targets"
    attribute : what each of them offers: "TARGET"
    """

    kind: str
    package: str
    attribute: str

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({*self._built_in(), *self._external()}))

    def __contains__(self, name: object) -> bool:
        """Whether there is one of this name; other distributions are read only where it is not a built-in one."""
        return name in self._built_in() or name in self._external()

    def load(self, name: str) -> T:
        """The plug-in of this name.

        InputError lists the names when there is none, or when two distributions claim it; EdgescopeError when
        another distribution's cannot be imported.
        """
        if name in self._built_in():
            return cast("T", getattr(import_module(f"{self.package}.{name}"), self.attribute))
        external = self._external()
        if name not in external:
            known = self.names()
            msg = f"There is no {self._singular()} {name!r}; choose one of {', '.join(known)}."
            msg += did_you_mean(name, known)
            raise InputError(msg)
        return self._load_external(external[name])

    def _built_in(self) -> list[str]:
        folder = import_module(self.package)
        return [module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_")]

    def _external(self) -> dict[str, EntryPoint]:
        external: dict[str, EntryPoint] = {}
        built_in = self._built_in()
        for entry in _entry_points(f"edgescope.{self.kind}", tuple(sys.path)):
            if entry.name in built_in or external.get(entry.name, entry).value != entry.value:
                msg = (
                    f"The {self._singular()} {entry.name!r} of {entry.value} has the name of another one; uninstall "
                    "one of the two distributions."
                )
                raise InputError(msg)
            external[entry.name] = entry
        return external

    def _load_external(self, entry: EntryPoint) -> T:
        try:
            return cast("T", getattr(import_module(entry.module), entry.attr or self.attribute))
        except (ImportError, AttributeError) as error:
            msg = f"The {self._singular()} {entry.name!r} cannot be loaded from {entry.value}: {error}."
            raise EdgescopeError(msg) from error

    def _singular(self) -> str:
        return re.sub(r"(?<=ss)es$|s$", "", self.kind).replace("_", " ")


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of all distributions on sys.path, which `path` is; read once, as that takes milliseconds."""
    from importlib import metadata  # 20 ms that `import runtime` does not need

    return tuple(metadata.entry_points(group=group))
