"""The dry run of a study: its data and teacher, every row, and how many trainings are left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill import check
from distill.study import job as jobs
from distill.study.plan import plan, trains_teachers
from runtime.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from distill.check import Examination
    from distill.config import Config
    from distill.study.plan import Job


def examine(config: Config, out: Path) -> Examination:
    """All that can be known before anything is trained."""
    teacher = config.study.teacher
    found = check.examine_data(config, config.study.test, teacher.channels if trains_teachers(config) else ())
    if config.trainer.devices * config.trainer.nodes > 1:
        found.problems.append("A study trains on one device a row; set trainer.devices and nodes to 1, use --workers.")
    try:
        todo = plan(config, out).jobs
    except InputError as error:
        found.problems.append(str(error))
        return found
    if any(job.kind == "teacher" for job in todo):
        found.facts.append(f"teacher to be trained: {teacher.family} on {', '.join(teacher.channels)}")
    losses = {repr(job.config.loss): job for job in todo}
    for job in losses.values():
        found.attempt(lambda job=job: _loss(job))
    left = [job for job in todo if not _is_done(job, out, found)]
    steps = sum(job.config.float.steps for job in left)
    found.facts.append(f"{len(todo)} trainings, {len(todo) - len(left)} of them done; {steps} steps are left")
    return found


def _loss(job: Job) -> None:
    from distill.objective import Objective

    Objective(job.config.loss)


def _is_done(job: Job, out: Path, found: Examination) -> bool:
    try:
        if job.kind == "teacher":
            return jobs.is_trained(job, out)
        return jobs.read(job.name, job.key(), out) is not None
    except InputError as error:
        found.problems.append(str(error))
        return False
