"""A study from beginning to end: undistilled students, teachers, headroom, distilled students, table.

Every training leaves a file when it is done. A study that was stopped goes on where it was; one that was finished
and is given more rows or seeds trains those alone.
"""

from __future__ import annotations

import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from distill import datasets
from distill.studies import job as jobs
from distill.studies import report, rows
from distill.studies.plan import plan
from distill.studies.table import means, tabulate
from distill.teaching.headroom import Headroom
from runtime.errors import EdgescopeError
from runtime.system.lock import only_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from distill.config.sections import Config
    from distill.studies.plan import StudyJob, StudyPlan

log = logging.getLogger(__name__)


def study(
    config: Config, out: Path, workers: int = 1, step: Callable[[str], None] = lambda what: None
) -> dict[str, Any]:
    """Run or finish the study of ``config`` in the folder ``out``; returns what is written to study.json.

    workers : trainings side by side, each in a process of its own
    step : called with the name of every training that is done
    EdgescopeError when another process is at the study in that folder.
    """
    with only_run(out):
        return _study(config, out, workers, step)


def _study(config: Config, out: Path, workers: int, step: Callable[[str], None]) -> dict[str, Any]:
    todo = plan(config, out)
    results = [jobs.run_trivial(config)] if rows.TRIVIAL in config.study.rows else []
    results += _run(jobs.run, todo.undistilled, config, out, workers, step)
    _run(jobs.run, todo.teachers, config, out, workers, step)
    taught = list({(job.taught_by, job.seed): job for job in todo.distilled if _as_it_is(job, config)}.values())
    teachers = _run(jobs.ask_teacher, taught, config, out, workers, step=lambda what: None)
    room = _headroom(config, todo, results, teachers)
    if room is not None:
        log.info("%s", room.sentence())
    results += _run(jobs.run, todo.distilled, config, out, workers, step)
    found = tabulate(config, [*results, *teachers], room)
    report.write(found, out)
    return found


def _run(
    work: Callable[[StudyJob, Config, Path], dict[str, Any]],
    todo: Sequence[StudyJob],
    config: Config,
    out: Path,
    workers: int,
    step: Callable[[str], None],
) -> list[dict[str, Any]]:
    """The results of jobs, in their order; side by side where there are several workers."""
    act = partial(work, study=config, out=out)
    if workers == 1 or len(todo) < 2:
        return [_told(act(job), job, step) for job in todo]
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool:
        waiting = {pool.submit(act, job): job for job in todo}
        try:
            done = {
                waiting[future].name: _told(future.result(), waiting[future], step) for future in as_completed(waiting)
            }
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            mine = set(multiprocessing.active_children()) - set(others)
            for process in mine:
                process.terminate()  # what it trained so far is kept; without this, its training would be waited for
            for process in mine:
                process.join()
            if isinstance(error, BrokenProcessPool):
                msg = "A training's process died, perhaps for want of memory; run again, with fewer --workers."
                raise EdgescopeError(msg) from error
            raise
    return [done[job.name] for job in todo]


def _told(result: dict[str, Any], job: StudyJob, step: Callable[[str], None]) -> dict[str, Any]:
    step(job.name)
    return result


def _as_it_is(job: StudyJob, config: Config) -> bool:
    """Whether the job's teacher is shown what the study's is: those of the controls are no measure of headroom."""
    return replace(job.config.teacher, weights=config.teacher.weights) == config.teacher


def _headroom(
    config: Config, todo: StudyPlan, results: Sequence[dict[str, Any]], teachers: Sequence[dict[str, Any]]
) -> Headroom | None:
    """The teacher with all labels against the undistilled students, on the validation data."""
    best = [means(found) for found in teachers if found["labelled"] == 1 and "nuclear" not in found["row"]]
    alone = tuple(means(found) for found in results if found["row"] == "undistilled")
    if not best:
        return None
    fields = sum(len(datasets.open(spec, "val")) for spec in config.data.validation)
    extra = any(job.labelled < 1 for job in todo.distilled)
    return Headroom(sum(best) / len(best), alone, fields, extra=extra)
