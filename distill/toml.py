"""Write a configuration as TOML: what `config.load` reads back as the same configuration, all defaults written out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distill.config import Config

MASKS = ("probability:", "labels:")  # what the weights of the teacher `masks` may begin with


def to_toml(config: Config) -> str:
    """The text of a configuration file; data paths are reduced to their last name, they mean nothing elsewhere."""
    lines = []
    sections = []
    for item in dataclasses.fields(config):
        if item.name == "study":  # a comparison, of which a student's training is one row
            continue
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            sections += ["", f"[{item.name}]", *_pairs(value)]
        else:
            lines.append(f"{item.name} = {_literal(value)}")
    return "\n".join([*lines, *sections]) + "\n"


def portable(spec: str) -> str:
    """A data spec with nothing but the last name of its path: bbbc038:/data/stage1.zip -> bbbc038:stage1.zip."""
    reader, colon, argument = spec.partition(":")
    path, mark, options = argument.partition("?")
    return f"{reader}{colon}{_last(path)}{mark}{options}"


def _last(path: str) -> str:
    return (PureWindowsPath(path) if "\\" in path else PurePath(path)).name or path


def _pairs(section: Any) -> Iterable[str]:
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if item.name in ("train", "validation"):
            value = tuple(portable(spec) for spec in value)
        elif item.name == "record":
            value = portable(value)
        elif item.name == "weights":
            value = portable(value) if value.startswith(MASKS) else _last(value)
        elif item.name == "store" and (PurePath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
            value = _last(value)
        elif item.name == "undistilled":
            value = ()
        yield f"{item.name} = {_literal(value)}"


def _literal(value: Any) -> str:
    """TOML's notation of a text, number, truth value, list or table of them."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(key)} = {_literal(item)}' for key, item in value.items())}}}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
