"""What the thin wheel holds: `runtime` with its C library, and for its extra `bench` the benchmarks and the readers of
labelled data.

This folder is the package `runtime`; the others lie beside it in the repository, and in it in a source distribution.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNTIME = ("**/*.py", "py.typed", "napari*.yaml", "kernel/*.c", "kernel/*.h")
FOR_BENCH = ("benchmarks/**/*", "distill/__init__.py", "distill/datasets/**/*")
NOT_ON_A_DEVICE = "history"  # reports of landed states
NOT_RUNTIME = frozenset({"hatch_build.py", "benchmarks", "distill"})


class Contents(BuildHookInterface[Any]):
    """Names every file and its place in the wheel, or in the source distribution."""

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling."""
        return self._builder().requirements() if self.target_name == "wheel" else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Tell hatchling the files."""
        here = Path(self.root)
        beside = here if (here / "benchmarks").is_dir() else here.parent
        files = {path: path.relative_to(beside) for path in _files(beside, FOR_BENCH)}
        if self.target_name == "wheel":
            own = (path.relative_to(here) for path in _files(here, RUNTIME))
            files |= {here / path: Path("runtime", path) for path in own if path.parts[0] not in NOT_RUNTIME}
            self._builder().for_hatch(self.root, version, build_data)
        build_data["force_include"] |= {str(path): place.as_posix() for path, place in files.items()}

    def _builder(self) -> Any:
        """kernel/build.py, from the sources that are being built."""
        spec = spec_from_file_location("edgescope_kernel_build", Path(self.root, "kernel", "build.py"))
        if spec is None or spec.loader is None:
            msg = f"There is no kernel/build.py in {self.root}; build from a complete checkout."
            raise FileNotFoundError(msg)
        sys.modules[spec.name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def _files(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        found = (path for path in folder.glob(pattern) if path.is_file() and _travels(path))
        yield from sorted(found)


def _travels(path: Path) -> bool:
    return {"__pycache__", NOT_ON_A_DEVICE}.isdisjoint(path.parts)
