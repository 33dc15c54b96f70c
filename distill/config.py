"""The training configuration: one TOML file, read into frozen dataclasses that refuse what they do not know."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field

import tomllib

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


LABELS = ("cells", "nuclei")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


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
    _check(config)
    return config


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


def _check(config: Config) -> None:
    from distill import students

    students.load(config.student.family)
    _check_data(config)
    _check_student(config)
    _check_teacher(config)
    _check_phases(config)
    _check_trainer(config)
    _check_study(config)


def _check_data(config: Config) -> None:
    data = config.data
    if not data.train or not data.validation:
        msg = "data.train and data.validation must each name at least one data spec, such as synthetic:400@1."
        raise InputError(msg)
    if data.share and len(data.share) != len(data.train):
        msg = f"data.share has {len(data.share)} values for {len(data.train)} training sets; give one each, or none."
        raise InputError(msg)
    if data.labels not in LABELS:
        msg = f"data.labels is {data.labels!r}; choose nuclei or cells."
        raise InputError(msg)
    if data.crop <= 0 or data.crop % 32:
        msg = f"data.crop is {data.crop}; it must be a multiple of 32, for example 256."
        raise InputError(msg)
    if not 0 < data.labelled <= 1:
        msg = f"data.labelled is {data.labelled}; it is a share of the training images, over 0 and up to 1."
        raise InputError(msg)
    if data.fold and not (len(data.fold) == 2 and 0 <= data.fold[0] < data.fold[1] and data.fold[1] > 1):
        msg = f"data.fold is {list(data.fold)}; give [k, n] with 0 <= k < n and n over 1, such as [0, 4]."
        raise InputError(msg)
    if not 0 < data.taught < 1:
        msg = f"data.taught is {data.taught}; it is a share of the crops, between 0 and 1."
        raise InputError(msg)


def _check_student(config: Config) -> None:
    student = config.student
    if unknown := set(student.outputs) - {"foreground", "core"}:
        msg = f"student.outputs holds {sorted(unknown)}; known outputs are foreground and core."
        raise InputError(msg)
    if student.outputs[:1] != ("foreground",):
        msg = f"student.outputs is {list(student.outputs)}; foreground must come first."
        raise InputError(msg)
    if len(student.decoder) != 5 or min(student.decoder) < 1:
        msg = f"student.decoder is {list(student.decoder)}; it must be five positive channel counts."
        raise InputError(msg)
    if student.channels[:1] != ("nucleus",) or len(set(student.channels)) < len(student.channels):
        msg = f"student.channels is {list(student.channels)}; give nucleus first, and no channel twice."
        raise InputError(msg)


def _check_teacher(config: Config) -> None:
    from distill import teachers

    section = config.teacher
    if section.name:
        teachers.load(section.name)
        choices = {
            "prompts": ("boxes", "points", "grid", "none"),
            "prompt_labels": LABELS,
            "membrane": ("own", "blank", "shuffled"),
            "device": ("auto", "cpu", "cuda"),
        }
        for key, known in choices.items():
            if getattr(section, key) not in known:
                msg = f"teacher.{key} is {getattr(section, key)!r}; choose one of {', '.join(known)}."
                raise InputError(msg)
    elif config.loss.matching:
        msg = f"loss.matching is {config.loss.matching!r}, but there is no teacher to match; name one in [teacher]."
        raise InputError(msg)
    if not (config.loss.supervised or config.loss.matching):
        msg = "loss.supervised and loss.matching are both left out; a student needs one of them to learn from."
        raise InputError(msg)


def _check_phases(config: Config) -> None:
    from distill import students

    if config.qat.steps and (reason := students.load(config.student.family).no_int8):
        msg = f"{config.student.family} is not trained for int8: {reason}; set qat.steps = 0, for fp16 and fp32."
        raise InputError(msg)
    interval = config.trainer.interval
    if interval < 1:
        msg = f"trainer.interval is {interval}; it must be at least 1 step."
        raise InputError(msg)
    for name, phase in (("float", config.float), ("qat", config.qat)):
        if name == "qat" and phase.steps == 0:
            continue
        if phase.steps < 1 or phase.steps % interval:
            nearest = max(interval, round(phase.steps / interval) * interval)
            msg = f"{name}.steps is {phase.steps}; it must be a multiple of trainer.interval {interval}; try {nearest}."
            raise InputError(msg)
        if min(phase.batch, phase.accumulate) < 1 or phase.learning_rate <= 0:
            msg = (
                f"{name}.batch, {name}.accumulate and {name}.learning_rate must be positive, "
                f"not {phase.batch}, {phase.accumulate}, {phase.learning_rate}."
            )
            raise InputError(msg)
        if phase.precision not in PRECISIONS:
            msg = f"{name}.precision is {phase.precision!r}; choose one of {', '.join(PRECISIONS)}."
            raise InputError(msg)


def _check_trainer(config: Config) -> None:
    section = config.trainer
    least = {"validate": 1, "devices": 1, "nodes": 1, "patience": 0, "threads": 0, "workers": 0}
    for key, low in least.items():
        if getattr(section, key) < low:
            msg = f"trainer.{key} is {getattr(section, key)}; it must be at least {low}."
            raise InputError(msg)


def _check_study(config: Config) -> None:
    from distill import students

    section = config.study
    for family in (*section.students, section.teacher.family):
        students.load(family)
    least = {"seeds": (section.seeds, 1), "block": (section.block, 0), "teacher.folds": (section.teacher.folds, 1)}
    for key, (value, low) in least.items():
        if value < low:
            msg = f"study.{key} is {value}; it must be at least {low}."
            raise InputError(msg)
    for key in ("rows", "students", "fractions", "radii"):
        values = getattr(section, key)
        if len(set(values)) < len(values) or (key in ("rows", "radii") and not values):
            msg = f"study.{key} is {list(values)}; give at least one row and radius, and none of them twice."
            raise InputError(msg)
    if any(not 0 < share < 1 for share in section.fractions):
        msg = f"study.fractions is {list(section.fractions)}; give shares between 0 and 1; 1 is always there."
        raise InputError(msg)
    if min(section.radii) < 0:
        msg = f"study.radii is {list(section.radii)}; give pixels, at least 0."
        raise InputError(msg)
