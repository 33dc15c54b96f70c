"""The file of a search: which candidates, on which tiles, and how long they are timed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import tomllib  # pyright: ignore[reportMissingImports] - only the runtime has to run on Python 3.10

from distill.config.sections import Config, DataSection, StudentSection
from distill.networks.spec import StudentSpec, spec_of
from distill.settings import student_section
from runtime.errors import InputError
from runtime.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STRIDE = 32  # of every family: sides of tiles are multiples of it


@dataclass(frozen=True)
class OneChange(Record):
    """Two candidates that differ in one thing: what the table says of it."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class TimingSection(Record):
    """[timing]: how often each candidate has its turn, and how many tiles it runs then.

    tile : side of the square tiles, pixels; seed : of the random weights
    threads : of OpenVINO and onnxruntime; 0 leaves them to these; LiteRT has one in any case
    """

    tile: int = 256
    rounds: int = 9
    repeats: int = 5
    threads: int = 0
    seed: int = 0


@dataclass(frozen=True)
class SearchPlan:
    """A search. trained : candidates that were trained, to a bundled student's name or a folder"""

    candidates: tuple[StudentSection, ...]
    timing: TimingSection = field(default_factory=TimingSection)
    changes: tuple[OneChange, ...] = ()
    trained: tuple[tuple[str, str], ...] = ()

    def spec(self, section: StudentSection) -> StudentSpec:
        """What a candidate is, for tiles of this search."""
        return spec_of(Config(student=section, data=DataSection(crop=self.timing.tile)))


def read(path: Path, rounds: int = 0) -> SearchPlan:
    """Read a plan; InputError names the key or the candidate that cannot be. rounds : in place of the plan's, or 0"""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"There is no search {str(path)!r}; see configs/search.toml for one."
        raise InputError(msg) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"Search {str(path)!r} cannot be read: {error}."
        raise InputError(msg) from error
    found = _plan(table)
    return replace(found, timing=replace(found.timing, rounds=rounds)) if rounds > 0 else found


def _plan(table: Mapping[str, Any]) -> SearchPlan:
    known = {"candidate", "timing", "change", "trained"}
    if unknown := sorted(set(table) - known):
        msg = f"Unknown key {unknown[0]!r} in the search; known are {', '.join(sorted(known))}."
        raise InputError(msg)
    candidates = tuple(_candidate(found, number) for number, found in enumerate(_list(table, "candidate"), 1))
    if not candidates:
        msg = "The search names no [[candidate]]; give at least one, with the keys of [student]."
        raise InputError(msg)
    names = [section.name for section in candidates]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"Two candidates are called {twice[0]!r}; give each a name of its own."
        raise InputError(msg)
    timing = TimingSection.from_dict({**TimingSection().to_dict(), **_table(table, "timing")}, "timing")
    _check_timing(timing)
    changes = tuple(OneChange.from_dict(found, "change") for found in _list(table, "change"))
    trained = tuple(_table(table, "trained").items())
    for name in [name for change in changes for name in (change.before, change.after)] + [name for name, _ in trained]:
        if name not in names:
            msg = f"The search has no candidate {name!r}; there are {', '.join(names)}."
            raise InputError(msg)
    if wrong := [name for name, student in trained if not isinstance(student, str)]:
        msg = f"trained.{wrong[0]} is no text; give a bundled student's name, or the folder of one."
        raise InputError(msg)
    return SearchPlan(candidates, timing, changes, trained)


def _candidate(found: object, number: int) -> StudentSection:
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        msg = f"Candidate {number} has no name of letters, digits, - and _; give each one, such as name = 'plain-half'."
        raise InputError(msg)
    section = student_section(found, f"candidate {name!r}")
    if len(section.channels) > 1:
        msg = f"Candidate {name!r} sees {', '.join(section.channels)}; a student for deployment sees the nucleus alone."
        raise InputError(msg)
    return section


def _check_timing(timing: TimingSection) -> None:
    if timing.tile < STRIDE or timing.tile % STRIDE:
        msg = f"timing.tile is {timing.tile}; it must be a multiple of {STRIDE}, for example 256."
        raise InputError(msg)
    least = {"rounds": 1, "repeats": 1, "threads": 0, "seed": 0}
    for key, low in least.items():
        if getattr(timing, key) < low:
            msg = f"timing.{key} is {getattr(timing, key)}; it must be at least {low}."
            raise InputError(msg)


def _list(table: Mapping[str, Any], key: str) -> list[Any]:
    found = table.get(key, [])
    if not isinstance(found, list):
        msg = f"{key} is {found!r}; write [[{key}]]."
        raise InputError(msg)
    return cast("list[Any]", found)


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        msg = f"{key} is {found!r}; write [{key}]."
        raise InputError(msg)
    return cast("dict[str, Any]", found)
