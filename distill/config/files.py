"""A configuration as a TOML file: read, written, and described by a JSON schema for editors."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from functools import lru_cache
from pathlib import PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeVar

import tomllib
from pydantic import TypeAdapter, ValidationError

from distill.config.sections import Config
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

S = TypeVar("S")

KIND = re.compile(r"[a-z]{2,}:")  # what the weights of a teacher may begin with, before a path
FROM = re.compile(r"\bfrom=([^&]*)")  # the folder of labels in the options of a data spec
UNKNOWN = "unexpected_keyword_argument"


def read_table(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The tables of a TOML file, with ``section.key=value`` overrides (values in TOML notation, or bare text).

    Relative data paths stay as they are written: they are resolved against the working folder.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"There is no configuration {path}; see distill/pretrained/nuclei-fast/config.toml for one."
        raise InputError(msg) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"Configuration {path} cannot be read: {error}."
        raise InputError(msg) from error
    for override in overrides:
        _set(table, override)
    return table


def section_of(kind: type[S], table: object, where: str = "") -> S:
    """A section from the table of a file. where : what messages put before its keys, "teacher.options"

    InputError names the key that is unknown, with the nearest one that is known, of the wrong type, or out of limits.
    """
    try:
        return _adapter(kind).validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InputError(_words(kind, min(details, key=lambda one: one["type"] != UNKNOWN), where)) from None


def write(config: Config, whole_paths: bool = False) -> str:
    """The text of a file that reads back as the same configuration, all defaults written out.

    whole_paths : False reduces data paths to their last name: they mean nothing elsewhere
    """
    import tomli_w

    table = dataclasses.asdict(config)
    del table["study"]  # a comparison, of which a student's training is one row
    seed = {"seed": table.pop("seed")}
    if whole_paths:
        return tomli_w.dumps(seed | table)
    data, teacher = table["data"], table["teacher"]
    for key in ("train", "validation"):
        data[key] = [portable(spec) for spec in data[key]]
    data["record"] = portable(data["record"])
    weights, store = teacher["weights"], teacher["store"]
    teacher["weights"] = portable(weights) if KIND.match(weights) else _last(weights)
    if PurePath(store).is_absolute() or PureWindowsPath(store).is_absolute():
        teacher["store"] = _last(store)
    teacher["undistilled"] = []
    return tomli_w.dumps(seed | table)


def schema(options: Mapping[str, type]) -> dict[str, Any]:
    """The JSON schema of a configuration, for editors. options : teacher name to the section of its options"""
    whole = _adapter(Config).json_schema()
    sections = whole["$defs"]
    for key, about in sections["PhaseSection"]["properties"].items():  # pydantic knows no docstring of a base's field
        sections["Int8Section"]["properties"][key].setdefault("description", about["description"])
    teacher = sections["TeacherSection"]
    teacher["properties"]["name"]["enum"] = ["", *options]
    teacher["allOf"] = [
        {
            "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
            "then": {"properties": {"options": _adapter(kind).json_schema()}},
        }
        for name, kind in options.items()
    ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "edgescope training", **whole}


def portable(spec: str) -> str:
    """A data spec with nothing but the last name of its path: bbbc038:/data/stage1.zip -> bbbc038:stage1.zip."""
    reader, colon, argument = spec.partition(":")
    path, mark, options = argument.partition("?")
    options = FROM.sub(lambda found: f"from={_last(found[1])}", options)
    return f"{reader}{colon}{_last(path)}{mark}{options}"


def _last(path: str) -> str:
    return (PureWindowsPath(path) if "\\" in path else PurePath(path)).name or path


@lru_cache
def _adapter(kind: type[S]) -> TypeAdapter[S]:
    return TypeAdapter(kind)


def _words(kind: type, error: ErrorDetails, where: str) -> str:
    """One error of a file as a sentence: key, value, next step."""
    *parents, key = ("", *map(str, error["loc"]))
    path = ".".join(part for part in (where, *parents, key) if part)
    if error["type"] == UNKNOWN:
        known = _keys(kind, parents[1:])
        nearest = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        return f"Unknown key {path!r} in the configuration; {hint}known here: {', '.join(known)}."
    if error["type"] == "value_error":  # of a section's own limits, which begin with the key
        return f"{path}.{error['ctx']['error']}" if path else str(error["ctx"]["error"])
    if error["type"] == "literal_error":
        choices = error["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        return f"{path} is {error['input']!r}; choose one of {choices}."
    if error["type"] == "dataclass_type":
        return f"[{path}] is {error['input']!r}; it must be a section."
    expected = {"tuple_type": "a list", "int_type": "a whole number", "int_from_float": "a whole number",
                "float_type": "a number", "string_type": "text", "bool_type": "true or false",
                "dict_type": "a table", "mapping_type": "a table"}  # fmt: skip
    return f"{path} is {error['input']!r}; it must be {expected.get(error['type'], error['msg'])}."


def _keys(kind: type, parents: Sequence[str]) -> list[str]:
    """The keys of the section at this place."""
    for name in parents:
        kind = type(getattr(kind(), name))
    return [item.name for item in dataclasses.fields(kind)]


def _set(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        msg = f"--set {override!r} is not section.key=value; write for example --set float.steps=500."
        raise InputError(msg)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            msg = f"--set {override!r}: {part} is a value, not a section."
            raise InputError(msg)
    table[parts[-1]] = value
