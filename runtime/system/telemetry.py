"""Libraries that report to their vendor as soon as they are imported, and what keeps each of them from it."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Generator

# onnxruntime (from 1.32) writes an id of the device under the user's cache and a file in the folder for temporary
# files, through a link, and looks up its vendor's host.
VARIABLES = {"ORT_DISABLE_TELEMETRY": "1"}
# OpenVINO imports this package, which forks the process and sends a message. Without it OpenVINO has a stub.
PACKAGES = ("openvino_telemetry",)


def set_variables() -> None:
    """For this process and its children, whoever imports the library; a variable that is set already stays.

    The package does so when it is imported: onnxsim, for one, imports onnxruntime by itself.
    """
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)


@contextmanager
def hidden_packages() -> Generator[None]:
    """Inside, PACKAGES seem not to be installed."""
    modules = cast("dict[str, object]", sys.modules)
    hidden = [name for name in PACKAGES if name not in modules]
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            modules.pop(name, None)
