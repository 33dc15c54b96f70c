"""The dry run of a study: its data and teacher, every row, and how many trainings are left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from distill import datasets, teachers
from distill.config.sections import check_steps
from distill.studies import job as jobs
from distill.studies.plan import plan, trains_teachers
from distill.training import preflight as check
from distill.training.data import divide
from distill.training.preflight import Examination
from runtime.errors import InputError
from runtime.system.places import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from distill.config.sections import Config
    from distill.studies.plan import StudyJob
    from distill.training.preflight import Ask


def examine(config: Config, out: Path) -> Examination:
    """All that can be known before anything is trained."""
    found = Examination()
    reason, todo = _plan(config, out)
    channels, asked = _teachers(config, todo, found)
    check.examine_data(config, found, channels, asked, config.study.test)
    if config.trainer.devices * config.trainer.nodes > 1:
        found.problems.append("A study trains on one device a row; set trainer.devices and nodes to 1, use --workers.")
    found.attempt(lambda: check_writable(out, "choose another --out"))
    if reason:
        found.problems.append(reason)
        return found
    _trainings(config, todo, found)
    left = [job for job in todo if not _is_done(job, out, found)]
    steps = sum(job.config.float.steps for job in left)
    found.facts.append(f"{len(todo)} trainings, {len(todo) - len(left)} of them done; {steps} steps are left")
    return found


def _plan(config: Config, out: Path) -> tuple[str | None, tuple[StudyJob, ...]]:
    """The jobs, or why there can be none."""
    try:
        return None, plan(config, out).jobs
    except InputError as error:
        return str(error), ()


def _teachers(config: Config, todo: Sequence[StudyJob], found: Examination) -> tuple[Sequence[str], list[Ask]]:
    """The channels that the teachers look at, and what they take of an image besides: in every row that has one."""
    taught = [(job.taught_by, replace(job.config.teacher, weights="")) for job in todo if _is_taught(job)]
    shown = {repr(one): one for one in taught}.values()
    if trains_teachers(config):
        check.examine_store(config, found)
        channels = config.study.teacher.channels
        for taught_by, section in shown:
            seen = channels[:1] if taught_by and taught_by[0] == "nuclear" else channels
            check.examine_control(config, found, seen, section.membrane)
        return channels, []
    channels, asked = check.examine_teacher(config, found)
    if found.problems:
        return channels, asked
    for _, section in shown:
        section = replace(section, weights=config.teacher.weights)
        if section != config.teacher:
            found.attempt(lambda section=section: asked.append(teachers.open_teacher(section).reference))
            check.examine_control(config, found, channels, section.membrane)
    return channels, asked


def _is_taught(job: StudyJob) -> bool:
    return job.kind == "student" and bool(job.config.teacher.name)


def _trainings(config: Config, todo: Sequence[StudyJob], found: Examination) -> None:
    """What every training needs besides data: a loss that there is, whole intervals, images left in its fold."""
    for job in {repr(job.config.loss): job for job in todo}.values():
        found.attempt(lambda job=job: _loss(job))
    trained = [job for job in todo if job.kind == "teacher"]
    if not trained:
        return
    teacher, interval = config.study.teacher, config.trainer.interval
    found.facts.append(f"teacher to be trained: {teacher.family} on {', '.join(teacher.channels)}")
    found.attempt(lambda: check_steps("study.teacher.steps", teacher.steps, interval))
    for job in trained:
        found.attempt(lambda job=job: _fold(job))


def _fold(job: StudyJob) -> None:
    for spec in job.config.data.train:
        divide(datasets.open(spec, "train"), job.config.data, job.seed)


def _loss(job: StudyJob) -> None:
    from distill.training.objective import Objective

    Objective(job.config.loss)


def _is_done(job: StudyJob, out: Path, found: Examination) -> bool:
    try:
        if job.kind == "teacher":
            return jobs.is_trained(job, out)
        return jobs.read(job.name, job.key(), out) is not None
    except InputError as error:
        found.problems.append(str(error))
        return False
