"""What a command printed, as files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..records import Record
from ..system import atomic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def write_json(path: Path | None, content: Mapping[str, Any] | Sequence[Any] | Record) -> None:
    """Write the result to the file that --json names, if it does."""
    value = content.to_dict() if isinstance(content, Record) else content
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path | None, text: str) -> None:
    """Write a table or a page to the file that an option names, if it does."""
    if path is not None:
        atomic.write_bytes(path, text.encode())
