"""Artefacts that have a name here: installed with a distribution, or in one of the folders where they are looked for.

A distribution brings artefacts by an entry point of the group `edgescope.artifacts`, whose value is a package that
holds them as folders or zips. The folders are `artifacts`, where compile writes, and those in EDGESCOPE_ARTIFACTS.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "edgescope.artifacts"
VARIABLE = "EDGESCOPE_ARTIFACTS"
BESIDE = "artifacts"
MANIFEST = "manifest.json"


def listed() -> dict[str, Path]:
    """Name to path, sorted by name; of equal names the nearest: artifacts, EDGESCOPE_ARTIFACTS, installed."""
    places: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.iterdir()):
            if path.suffix == ".zip" or (path / MANIFEST).is_file():
                places.setdefault(path.name.removesuffix(".zip"), path)
    return dict(sorted(places.items()))


def resolve(path: Path) -> Path:
    """The path itself where something is there; else that of the listed artefact of this name, or the path again."""
    if path.exists() or path.name != str(path):
        return path
    return listed().get(path.name, path)


def remedy() -> str:
    """What to do where an artefact is missing: the names that are listed here, or else how to get some."""
    if names := ", ".join(listed()):
        return f"Here are {names}; or give the folder or the .zip that compile wrote."
    return (
        "Give the folder or the .zip that compile wrote. In a checkout of edgescope, `make artifacts` writes a wheel "
        "with the ready ones, dist/edgescope_artifacts-*.whl, and `python -m compile --target intel` makes one."
    )


def _folders() -> Iterator[Path]:
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    packages = [spec for name in _packages() if (spec := find_spec(name)) is not None]
    installed = (Path(place) for package in packages for place in package.submodule_search_locations or ())
    for folder in (Path(BESIDE), *(Path(name).expanduser() for name in named if name), *installed):
        if folder.is_dir():
            yield folder


def _packages() -> list[str]:
    from importlib import metadata  # 20 ms that a path does not need

    return [entry.module for entry in metadata.entry_points(group=GROUP)]
