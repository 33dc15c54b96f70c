"""Frozen dataclasses <-> JSON, driven by the annotations alone, so that no class needs a reader of its own.

Reading is strict: an unknown field, a missing field and a value of the wrong type are refused with the
field's dotted path. Only a field that is declared OPTIONAL may be missing. What crosses a process or machine
boundary is such a file, never a pickle.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R", bound="Record")

# Metadata of a dataclass field that a file may lack: field(default=None, metadata=OPTIONAL). It is for what came later
# than the files that are already in the world. The default is not written, so that older readers accept the file.
OPTIONAL = {"optional": True}
HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")  # of a character above 2**16, perhaps alone
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class Record:
    """Base of the dataclasses that are stored as JSON.

    Their fields are scalars, tuples, mappings and records, each possibly `| None`.
    """

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON's own types, in the order of its fields."""
        values = {f: getattr(self, f.name) for f in dataclasses.fields(cast("Any", self))}
        return {
            f.name: _plain(value)
            for f, value in values.items()
            if not (f.metadata.get("optional") and value == f.default)
        }

    def to_json(self) -> str:
        """The record as indented JSON in a stable order, with a final newline."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls: type[R], value: object, path: str = "") -> R:
        """Build the record; InputError names the dotted path of whatever does not fit."""
        fields = _object(value, path)
        hints = _hints(cls)
        known = dataclasses.fields(cast("Any", cls))
        names = [f.name for f in known]
        for name in fields:
            if name not in names:
                msg = f"Unknown field {_join(path, name)} in {cls.__name__}; known are {', '.join(names)}."
                raise InputError(msg)
        for f in known:
            if f.name not in fields and not f.metadata.get("optional"):
                msg = f"Field {_join(path, f.name)} is missing in {cls.__name__}; write the file again."
                raise InputError(msg)
        values = {name: _read(hints[name], fields[name], _join(path, name)) for name in names if name in fields}
        try:
            return cls(**values)
        except InputError as error:
            msg = f"{path}: {error}" if path else str(error)
            raise InputError(msg) from error

    @classmethod
    def from_json(cls: type[R], text: str) -> R:
        """Parse and build the record; InputError when the text is no JSON or does not fit."""
        return cls.from_dict(parse_json(text))


def parse_json(text: str) -> Any:
    """JSON without its traps: duplicate keys, NaN, infinities and half characters are refused with InputError."""
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite, parse_int=_whole
        )
        if HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (json.JSONDecodeError, RecursionError) as error:
        msg = f"The text is no JSON: {error}."
        raise InputError(msg) from error
    except UnicodeEncodeError as error:
        msg = f"The JSON text holds half a character, {error.object[error.start]!r}, which no file can."
        raise InputError(msg) from error
    return value


@cache
def _hints(cls: type[Record]) -> dict[str, Any]:
    return get_type_hints(cls)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for name, value in pairs:
        if name in unique:
            msg = f"Field {name[:60]} stands twice in the JSON text."
            raise InputError(msg)
        unique[name] = value
    return unique


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        msg = f"The JSON text holds {text}, which is not a finite number."
        raise InputError(msg)
    return value


def _whole(text: str) -> int:
    if len(text) > 20:
        msg = f"The JSON text holds a whole number of {len(text)} digits."
        raise InputError(msg)
    return int(text)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value)
        return {key: _plain(item) for key, item in items.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


def _read(kind: Any, value: object, path: str) -> Any:
    if kind is Any:
        return value
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_dict(value, path)
    origin = get_origin(kind)
    reader = READERS.get(origin, _scalar)
    return reader(kind, value, path)


def _scalar(kind: Any, value: object, path: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # `type is`: True is an int to isinstance
        _refuse(NAMES[kind], value, path)
    return value


def _tuple(kind: Any, value: object, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        _refuse("a list", value, path)
    items = cast("list[object]", value)
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(items)
    if len(kinds) != len(items):
        _refuse(f"a list of {len(kinds)}", items, path)
    return tuple(_read(k, item, f"{path}[{i}]") for i, (k, item) in enumerate(zip(kinds, items, strict=True)))


def _mapping(kind: Any, value: object, path: str) -> dict[str, Any]:
    item_kind = get_args(kind)[1]
    return {key: _read(item_kind, item, _join(path, key)) for key, item in _object(value, path).items()}


def _optional(kind: Any, value: object, path: str) -> Any:
    inner = next(k for k in get_args(kind) if k is not types.NoneType)
    return None if value is None else _read(inner, value, path)


READERS: dict[Any, Callable[[Any, object, str], Any]] = {
    tuple: _tuple,
    Mapping: _mapping,
    Union: _optional,
    types.UnionType: _optional,
}


def _object(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        _refuse("an object {...}", value, path or "the top level")
    return cast("dict[str, object]", value)


def _refuse(due: str, value: object, path: str) -> NoReturn:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    msg = f"Field {path} must be {due}, not {shown}."
    raise InputError(msg)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
