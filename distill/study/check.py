"""The dry run of a study: its data and teacher, every row, and how many trainings are left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill import check
from distill.study import job as jobs
from distill.study.plan import TEACHERS, plan, trains_teachers
from runtime.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from distill.check import Examination
    from distill.config import Config
    from distill.study.plan import Job


def examine(config: Config, out: Path) -> Examination:
    """All that can be known before anything is trained."""
    follows = trains_teachers(config)
    found = check.examine(config, config.study.test, teacher_follows=follows)
    if follows:
        wanted = config.study.teacher.channels
        found.attempt(lambda: _teachers_channels(config, wanted))
    try:
        todo = plan(config, out).jobs
    except InputError as error:
        found.problems.append(str(error))
        return found
    losses = {repr(job.config.loss): job for job in todo}
    for job in losses.values():
        found.attempt(lambda job=job: _loss(job))
    left = [job for job in todo if not _is_done(job, out, found)]
    steps = sum(job.config.float.steps for job in left)
    found.facts.append(f"{len(todo)} trainings, {len(todo) - len(left)} of them done; {steps} steps are left")
    return found


def _teachers_channels(config: Config, wanted: tuple[str, ...]) -> str:
    from distill import datasets

    for spec in config.data.train:
        datasets.open(spec, "train")[0].planes(wanted)
    return f"teacher to be trained: {config.study.teacher.family} on {', '.join(wanted)}"


def _loss(job: Job) -> None:
    from distill.objective import Objective

    Objective(job.config.loss)


def _is_done(job: Job, out: Path, found: Examination) -> bool:
    if job.kind == "teacher":
        return (out / TEACHERS / job.name).exists()
    try:
        return jobs.read(job.name, job.key(), out) is not None
    except InputError as error:
        found.problems.append(str(error))
        return False
