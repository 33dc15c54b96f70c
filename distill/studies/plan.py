"""What a study trains, in order: undistilled students, teachers, then everything that is taught.

A job's configuration is complete: it depends on nothing that another job chooses, so jobs can be run one by one,
side by side, or again after an interruption.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from distill import teachers
from distill.config.sections import LossSection, StudySection, TeacherSection
from distill.studies import rows
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from distill.config.sections import Config

TEACHERS = "teachers"  # the folder of those that it trains
# A teacher is a stock U-Net whatever the student is.
STOCK: dict[str, Any] = {"encoder": (), "head_stride": 1, "separable": False, "encoder_weights": ""}


@dataclass(frozen=True)
class StudyJob:
    """One training. `row` groups the seeds of a row; `kind` says whether a teacher or a student comes out.

    labelled : share of the training images whose labels it has
    taught_by : kind of the teacher that the study trains for it, and the share of the labels that this one has
    """

    kind: Literal["student", "teacher"]
    row: str
    title: str
    family: str
    labelled: float
    seed: int
    config: Config
    taught_by: tuple[rows.TeacherKind, float] | None = None

    @property
    def name(self) -> str:
        """Of its folder and its result."""
        return self.row if self.kind == "teacher" else f"{self.row}-s{self.seed}"

    def key(self) -> str:
        """Twelve hex digits for everything that the result depends on."""
        return digest(settings(self.config))


def settings(config: Config) -> dict[str, Any]:
    """All that a configuration says otherwise than the defaults: a setting that is added later changes no key."""
    found = {}
    for item in fields(config):
        value = getattr(config, item.name)
        chosen = differing(value) if is_dataclass(value) else value
        if chosen != ({} if is_dataclass(value) else item.default):
            found[item.name] = chosen
    return found


def differing(section: Any) -> dict[str, Any]:
    """The fields of a section that are not at their default."""
    default = type(section)()
    values = {item.name: getattr(section, item.name) for item in fields(section)}
    return {
        name: asdict(value) if is_dataclass(value) else value
        for name, value in values.items()
        if value != getattr(default, name)
    }


def digest(ingredients: object) -> str:
    """Twelve hex digits for a JSON-ready object."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class StudyPlan:
    """undistilled, teachers, distilled : jobs in the order in which they are run."""

    undistilled: tuple[StudyJob, ...]
    teachers: tuple[StudyJob, ...]
    distilled: tuple[StudyJob, ...]

    @property
    def jobs(self) -> tuple[StudyJob, ...]:
        """All of them."""
        return (*self.undistilled, *self.teachers, *self.distilled)


def plan(config: Config, out: Path) -> StudyPlan:
    """The jobs of a study whose results go to the folder ``out``; InputError for rows that cannot be."""
    students = [job for seed in seeds(config) for job in _students(config, out, seed)]
    needed = dict.fromkeys((*job.taught_by, job.seed) for job in students if job.taught_by)
    return StudyPlan(
        tuple(job for job in students if not job.config.teacher.name),
        tuple(job for kind, share, seed in needed for job in _teachers(config, kind, share, seed)),
        tuple(job for job in students if job.config.teacher.name),
    )


def seeds(config: Config) -> range:
    """The seeds of every row."""
    return range(config.seed, config.seed + config.study.seeds)


def trains_teachers(config: Config) -> bool:
    """Whether the study trains its teachers itself."""
    section = config.teacher
    return bool(section.name) and not section.weights and teachers.load(section.name).trained_by_studies


def _students(config: Config, out: Path, seed: int) -> Iterable[StudyJob]:
    chosen = [rows.load(name) for name in config.study.rows if name != rows.TRIVIAL]
    for row in chosen:
        _check(row, config)
        yield _job(config, out, seed, row, row.name, row.title)
    ends = [row for row in chosen if row.name in ("undistilled", "paper")]
    for family in config.study.students:
        other = replace(config, student=replace(config.student, family=family))
        for row in ends:
            yield _job(other, out, seed, row, f"{family}-{row.name}", f"{family}: {row.title}")
    for share in config.study.fractions:
        few = replace(config, data=replace(config.data, labelled=share))
        percent = f"{100 * share:g}"
        for row in (row for row in chosen if row.few_labels):
            yield _job(few, out, seed, row, f"{row.name}-{percent}", f"{percent} % of the labels: {row.title}")


def _check(row: rows.StudyRow, config: Config) -> None:
    if row.teacher and not config.teacher.name:
        msg = f"Row {row.name!r} needs a teacher; name one in [teacher], or take the row out of study.rows."
        raise InputError(msg)
    if row.prompts is not None and rows.nucleus_alone(config.teacher, row.prompts) is None:
        msg = f"Row {row.name!r} is about prompts, which teacher {config.teacher.name!r} does not take; leave it out."
        raise InputError(msg)
    if row.teacher == "nuclear" and not trains_teachers(config):
        msg = (
            f"Row {row.name!r} trains a teacher of the nucleus alone, which only a teacher that studies train allows, "
            "named without weights; with one that takes prompts, take nucleus-nuclear-boxes and nucleus-unprompted."
        )
        raise InputError(msg)


def _job(config: Config, out: Path, seed: int, row: rows.StudyRow, name: str, title: str) -> StudyJob:
    changed = row.apply(replace(config, seed=seed, study=StudySection(), qat=replace(config.qat, steps=0)))
    taught_by = None
    if row.teacher and trains_teachers(config):
        taught_by = (row.teacher, config.data.labelled)
        folder = out / TEACHERS / _teacher_row(*taught_by) / f"s{seed}"
        changed = replace(changed, teacher=replace(changed.teacher, weights=folder.as_posix()))
    if not row.teacher:
        changed = replace(changed, teacher=TeacherSection())
    return StudyJob("student", name, title, config.student.family, config.data.labelled, seed, changed, taught_by)


def _teachers(config: Config, kind: rows.TeacherKind, share: float, seed: int) -> Iterable[StudyJob]:
    """The trainings that make one teacher: one, or one a fold."""
    section = config.study.teacher
    channels = section.channels if kind == "multiplexed" else section.channels[:1]
    student = replace(
        config.student,
        name=f"teacher-{kind}",
        family=section.family,
        channels=channels,
        decoder=section.decoder,
        **STOCK,
    )
    common = replace(
        config,
        student=student,
        teacher=TeacherSection(),
        loss=LossSection(),
        augment=replace(config.augment, drop=section.drop),
        float=replace(config.float, steps=section.steps, learning_rate=section.learning_rate),
        qat=replace(config.qat, steps=0),
        study=StudySection(),
        seed=seed,
    )
    for fold in range(section.folds):
        part = (fold, section.folds) if section.folds > 1 else ()
        row = _teacher_row(kind, share)
        settings = replace(common, data=replace(config.data, labelled=share, fold=part))
        yield StudyJob(
            "teacher", f"{row}/s{seed}/fold{fold}", f"teacher: {kind}", section.family, share, seed, settings
        )


def _teacher_row(kind: str, share: float) -> str:
    return kind if share == 1 else f"{kind}-{100 * share:g}"
