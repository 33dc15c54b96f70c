"""What a command printed, for machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .. import atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_json(path: Path | None, found: Mapping[str, Any]) -> None:
    """Write the result to the file that --json names, if it does."""
    if path is not None:
        atomic.write_bytes(path, (json.dumps(found, indent=2) + "\n").encode())
