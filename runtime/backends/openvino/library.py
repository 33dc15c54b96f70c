"""The import of OpenVINO, in one place."""

from __future__ import annotations

from typing import Any

from ...system import extras

EXTRA = "openvino"


def load_openvino() -> Any:
    """Import OpenVINO; EdgescopeError names the extra when it is not installed."""
    return extras.load("openvino", extra=EXTRA)
