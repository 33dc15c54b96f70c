"""A configuration and the plug-ins that it names: read, checked against what they allow, described for editors.

Nothing here imports torch: what cannot be is said in a fraction of a second.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distill import datasets, losses, students, teachers, weightings
from distill.config import files
from distill.config.sections import Config, StudentSection, check_steps
from distill.networks.spec import StudentSpec, spec_of
from distill.student import description, validation
from distill.student.inheritance import inherited
from runtime.errors import EdgescopeError, InputError
from runtime.system.places import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML file with ``section.key=value`` overrides, and check it; InputError names the key and the remedy.

    What the student of student.init_from says is taken over where the file says nothing else.
    """
    config = files.section_of(Config, inherited(files.read_table(path, overrides)))
    check(config)
    return config


def check(config: Config) -> None:
    """InputError names the section and key of what the named plug-ins do not allow."""
    data = config.data
    if not data.train or not data.validation:
        msg = "data.train and data.validation must each name at least one data spec, such as folder:PATH."
        raise InputError(msg)
    check_student(config)
    if config.teacher.name:
        teachers.options_of(config.teacher)
    _check_losses(config)
    _check_phases(config)
    _check_study(config)


def check_inputs(config: Config, out: Path) -> None:
    """InputError for data and students that are not there, and for a place that cannot be written; reads no pixels.

    out : the folder of the student
    """
    for specs, split in ((config.data.train, "train"), (config.data.validation, "val")):
        for spec in specs:
            if not len(datasets.open(spec, split)):
                msg = f"{spec} holds no images for {split}; give other data."
                raise InputError(msg)
    if config.student.init_from:
        description.describe(config.student.init_from)
    check_writable(out, "choose another --out")


def check_student(config: Config) -> None:
    """InputError where there can be no student as [student] says."""
    validation.check(spec_of(config), "student")
    _check_encoder_weights(config.student)


def student_section(table: object, where: str) -> StudentSection:
    """The keys of [student] where they stand elsewhere, as in the candidates of a search.

    InputError names the key, and where it stands, that is unknown, of the wrong type or of no student.
    """
    section = files.section_of(StudentSection, table, where)
    try:
        check_student(Config(student=section))
    except InputError as error:
        msg = f"{where}: {error}"
        raise InputError(msg) from error
    return section


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration, with the options of every teacher that can be loaded."""
    options = {}
    for name in teachers.names():
        try:
            options[name] = teachers.load(name).options
        except EdgescopeError:  # of another distribution, and broken: told when it is named
            continue
    return files.schema(options)


def _check_encoder_weights(section: StudentSection) -> None:
    offered = students.load(section.family).encoder_weights
    if section.encoder_weights and section.encoder_weights not in offered:
        has = f"has {', '.join(offered)}" if offered else "has none"
        msg = f"student.encoder_weights is {section.encoder_weights!r}, but {section.family} {has}; leave it out."
        raise InputError(msg)


def _check_losses(config: Config) -> None:
    section = config.loss
    if section.matching and not config.teacher.name:
        msg = f"loss.matching is {section.matching!r}, but there is no teacher to match; name one in [teacher]."
        raise InputError(msg)
    if not section.supervised and not section.matching:
        msg = "loss.supervised and loss.matching are both left out; a student needs one of them to learn from."
        raise InputError(msg)
    for role in losses.ROLES:
        name = getattr(section, role)
        if name and name not in losses.names():
            msg = f"loss.{role} is {name!r}; choose one of {', '.join(losses.names())}."
            raise InputError(msg)
    if section.weighting not in weightings.names():
        msg = f"loss.weighting is {section.weighting!r}; choose one of {', '.join(weightings.names())}."
        raise InputError(msg)


def _check_phases(config: Config) -> None:
    if config.qat.steps and (reason := students.load(config.student.family).no_int8):
        msg = f"{config.student.family} is not trained for int8: {reason}; set qat.steps = 0, for fp16 and fp32."
        raise InputError(msg)
    check_steps("float.steps", config.float.steps, config.trainer.interval)
    if config.qat.steps:
        check_steps("qat.steps", config.qat.steps, config.trainer.interval)


def _check_study(config: Config) -> None:
    section, teacher = config.study, config.study.teacher
    for family in section.students:
        validation.check(replace(spec_of(config), family=family))
        _check_encoder_weights(replace(config.student, family=family))
    validation.check(StudentSpec("teacher", teacher.family, teacher.channels, teacher.decoder), "study.teacher")
