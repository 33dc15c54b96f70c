"""The artefacts to measure, and names that tell them apart."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from runtime.artifact.artifact import MANIFEST, Artifact, open_artifact


def open_artifacts(places: Iterable[str | Path | Artifact]) -> list[Artifact]:
    """Open artefacts: folders or .zip, or folders of artefacts. InputError for a damaged one, by name."""
    opened: list[Artifact] = []
    for place in places:
        paths = [] if isinstance(place, Artifact) else _artifacts_at(Path(place))
        opened += [place] if isinstance(place, Artifact) else map(open_artifact, paths)
    return opened


def name_of(artifact: Artifact) -> str:
    """The name of its folder or .zip."""
    return artifact.path.name.removesuffix(".zip")


def unique_names(names: Iterable[str]) -> list[str]:
    """Make equal names unique with a number: a, b, a-2."""
    count = Counter[str]()
    unique: list[str] = []
    for name in names:
        count[name] += 1
        unique.append(name if count[name] == 1 else f"{name}-{count[name]}")
    return unique


def _artifacts_at(path: Path) -> list[Path]:
    """The path, or the artefacts in the folder at the path."""
    if path.is_dir() and not (path / MANIFEST).exists():
        return sorted(child.parent for child in path.glob(f"*/{MANIFEST}")) or [path]
    return [path]
