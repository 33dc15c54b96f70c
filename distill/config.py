"""The training configuration: one TOML file, read into frozen dataclasses that refuse what they do not know."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field

import tomllib

from distill import limits
from distill.sections import (
    AugmentSection,
    DataSection,
    LossSection,
    PhaseSection,
    StudentSection,
    StudySection,
    TeacherSection,
    TrainerSection,
)
from runtime.errors import InputError

if typing.TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Config:
    """A whole training run. The same configuration and seed give the same weights on the same machine."""

    student: StudentSection = field(default_factory=StudentSection)
    data: DataSection = field(default_factory=DataSection)
    teacher: TeacherSection = field(default_factory=TeacherSection)
    loss: LossSection = field(default_factory=LossSection)
    augment: AugmentSection = field(default_factory=AugmentSection)
    float: PhaseSection = field(default_factory=PhaseSection)
    qat: PhaseSection = field(default_factory=PhaseSection.for_int8)
    trainer: TrainerSection = field(default_factory=TrainerSection)
    study: StudySection = field(default_factory=StudySection)
    seed: int = 0


def load(path: Path, overrides: typing.Sequence[str] = ()) -> Config:
    """Read a TOML configuration and apply ``section.key=value`` overrides (values in TOML notation, or bare text).

    Relative data paths stay as they are written: they are resolved against the working folder.
    InputError names the section and key that is unknown, missing or of the wrong type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"There is no configuration {path}; see distill/pretrained/nuclei-mobilenetv3/config.toml for one."
        raise InputError(msg) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"Configuration {path} cannot be read: {error}."
        raise InputError(msg) from error
    for override in overrides:
        _set(table, override)
    config = typing.cast("Config", _build(Config, table, ""))
    limits.check(config)
    return config


def student_section(table: object, where: str) -> StudentSection:
    """The keys of [student] where they stand elsewhere, as in the candidates of a search.

    InputError names the key, and where it stands, that is unknown, of the wrong type or of no student.
    """
    section = typing.cast("StudentSection", _build(StudentSection, table, where))
    try:
        limits.check_student(Config(student=section))
    except InputError as error:
        msg = f"{where}: {error}"
        raise InputError(msg) from error
    return section


def _set(table: dict[str, typing.Any], override: str) -> None:
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


def _build(kind: type, table: object, where: str) -> object:
    if not isinstance(table, dict):
        msg = f"[{where}] is {table!r}; it must be a section."
        raise InputError(msg)
    fields = typing.get_type_hints(kind)
    for key in table:
        if key not in fields:
            known = ", ".join(fields)
            msg = f"Unknown key {f'{where}.{key}'.lstrip('.')!r} in the configuration; known here: {known}."
            raise InputError(msg)
    defaults = {item.name: item for item in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        path = f"{where}.{key}".lstrip(".")
        hint = fields[key]
        base = _section_defaults(defaults[key], value) if dataclasses.is_dataclass(hint) else value
        values[key] = _build(hint, base, path) if dataclasses.is_dataclass(hint) else _value(hint, value, path)
    return kind(**values)


def _section_defaults(item: dataclasses.Field[typing.Any], table: object) -> object:
    """A section keeps the defaults of its place: [qat] differs from [float]."""
    if not isinstance(table, dict) or item.default_factory is dataclasses.MISSING:
        return table
    return {**dataclasses.asdict(item.default_factory()), **table}


def _value(hint: object, value: object, path: str) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(arguments[0], item, path) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(value) is hint:
        return value
    wanted = {tuple: "a list", Mapping: "a table"}.get(origin) or getattr(hint, "__name__", str(hint))
    msg = f"{path} is {value!r}; it must be {wanted}."
    raise InputError(msg)
