"""Adds the kernel's library to the wheel, and builds it in the source folder for an editable installation."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Library(BuildHookInterface[Any]):
    """The C library of runtime/kernel; a wheel with it is for one platform, and for every version of Python."""

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling."""
        return self._builder().requirements() if self.target_name == "wheel" else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the library, and tell hatchling about it."""
        if self.target_name == "wheel":
            self._builder().for_hatch(self.root, version, build_data)

    def _builder(self) -> Any:
        """runtime/kernel/build.py, from the sources that are being built."""
        spec = spec_from_file_location("edgescope_kernel_build", Path(self.root, "runtime", "kernel", "build.py"))
        if spec is None or spec.loader is None:
            msg = f"There is no runtime/kernel/build.py in {self.root}; build from a complete checkout."
            raise FileNotFoundError(msg)
        sys.modules[spec.name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
