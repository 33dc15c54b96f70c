"""What a student's folder says without its weights, and where the bundled ones are. Nothing here imports torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomllib

from distill.networks.spec import StudentSpec
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

PRETRAINED = Path(__file__).parents[1] / "pretrained"
DEFAULT = "nuclei-fast"
DESCRIPTION, METRICS, CONFIG = "student.json", "metrics.json", "config.toml"


@dataclass(frozen=True)
class Description:
    """spec, weights_sha256 and trained_on (fingerprints of frames) of student.json; metrics of metrics.json

    config : the tables of the configuration that trained it, as far as they are there
    """

    spec: StudentSpec
    weights_sha256: str
    trained_on: frozenset[str] = frozenset()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def labels(self) -> str:
        """Which objects it finds: "nuclei" or "cells"."""
        return str(self.metrics.get("labels", "nuclei"))

    @property
    def has_int8(self) -> bool:
        """Whether its family is trained for int8."""
        from distill import students

        return students.load(self.spec.family).no_int8 is None

    @property
    def core(self) -> str:
        """What its core map means, as data.core; students that do not say it have eroded cores."""
        return str(self.config.get("data", {}).get("core", "eroded"))


def names() -> list[str]:
    """The bundled students."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{DESCRIPTION}"))


def folder_of(name: str | Path) -> Path:
    """The folder of a bundled student, or of any student by its folder; InputError where there is none."""
    path = Path(name)
    if (path / DESCRIPTION).is_file():
        return path
    if re.fullmatch(r"[\w.-]+", str(name)) and (PRETRAINED / str(name) / DESCRIPTION).is_file():
        return PRETRAINED / str(name)
    msg = (
        f"There is no student {str(name)!r}: it is neither bundled ({', '.join(names()) or 'none'}) "
        f"nor a folder with {DESCRIPTION}."
    )
    raise InputError(msg)


def describe(name: str | Path) -> Description:
    """Read what a student says of itself; InputError for a file that is missing or damaged."""
    folder = folder_of(name)
    about = read_json(folder / DESCRIPTION)
    try:
        spec = StudentSpec.from_dict(about["spec"], "spec")
        digest, seen = str(about["lineage"]["weights_sha256"]), frozenset(about["lineage"]["trained_on"])
    except (KeyError, TypeError) as error:
        msg = f"{folder / DESCRIPTION} is not a student's description: {error} is missing."
        raise InputError(msg) from error
    metrics = read_json(folder / METRICS) if (folder / METRICS).exists() else {}
    return Description(spec, digest, seen, metrics, _read_config(folder / CONFIG))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; InputError where the file holds none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as JSON: {error}."
        raise InputError(msg) from error
    if not isinstance(value, dict):
        msg = f"{path} must hold a JSON object, not {type(value).__name__}."
        raise InputError(msg)
    return value


def _read_config(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path} cannot be read: {error}."
        raise InputError(msg) from error
    return {name: table for name, table in tables.items() if isinstance(table, dict)}
