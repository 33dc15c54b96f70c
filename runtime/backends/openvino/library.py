"""The import of OpenVINO, in one place."""

from __future__ import annotations

import sys
from typing import Any, cast

from ...system import extras

EXTRA = "openvino"


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which on import forks this process and sends a message to the vendor.

    EdgescopeError names the extra when OpenVINO is not installed.
    """
    modules = cast("dict[str, object]", sys.modules)
    hidden = "openvino_telemetry" not in modules
    if hidden:
        modules["openvino_telemetry"] = None  # OpenVINO then takes its own stub, as when that package is missing
    try:
        return extras.load("openvino", extra=EXTRA)
    finally:
        if hidden:
            del modules["openvino_telemetry"]
