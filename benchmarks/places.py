"""What paths on the command line mean: artefacts, one by one or a folder of them, and files to write."""

from collections.abc import Iterable
from pathlib import Path

from runtime.artifact import MANIFEST
from runtime.errors import InputError


def artifacts_at(path: Path) -> list[Path]:
    """The path, or the artefacts in the folder at the path."""
    if path.is_dir() and not (path / MANIFEST).exists():
        return sorted(child.parent for child in path.glob(f"*/{MANIFEST}")) or [path]
    return [path]


def check_files(places: Iterable[Path | None]) -> None:
    """What could not be written at the end is said at the start: InputError for a folder."""
    for place in places:
        if place and place.is_dir():
            msg = f"{str(place)!r} is a folder; give a file."
            raise InputError(msg)
