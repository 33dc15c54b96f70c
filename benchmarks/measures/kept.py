"""Finished measurements, kept in a folder: what an interrupted run has measured is not measured again.

A measurement is known by all that went into it: the artefact's and the images' content, how it was run, by which
edgescope and libraries, on which machine. Whatever of it changes, it is another measurement. Failures are not kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.inputs.compiled import digest
from runtime.artifact.artifact import open_artifact
from runtime.errors import InputError
from runtime.records import Record
from runtime.system.atomic import write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.measures.job import MeasureJob, Task

R = TypeVar("R", bound=Record)
PLACES = ("name", "artifact", "frame", "pictures")  # of a job: where things are called and lie, not what they are


class Kept:
    """The answers in a folder. context: what went into all of them, besides the jobs themselves."""

    def __init__(self, folder: Path, context: Mapping[str, object]) -> None:
        self._folder = folder
        self._context = dict(context)
        self._asked: Counter[str] = Counter()

    def answer(self, task: Task, job: MeasureJob, result: type[R], measure: Callable[[], R]) -> R:
        """The answer that is kept, or a new one. The same job asked again in one run, a round, is another question."""
        question = self._question(task, job)
        self._asked[question] += 1
        path = self._folder / f"{task}-{digest([question, self._asked[question]])[:24]}.json"
        try:
            return result.from_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, InputError):
            pass  # not measured yet, or by an edgescope that wrote other fields
        answer = measure()
        write_bytes(path, answer.to_json().encode())
        return answer

    def _question(self, task: Task, job: MeasureJob) -> str:
        manifest = open_artifact(Path(job.artifact)).manifest
        frame = hashlib.sha256(Path(job.frame).read_bytes()).hexdigest()
        conditions = {name: value for name, value in job.to_dict().items() if name not in PLACES}
        return digest([self._context, task, manifest.to_dict(), frame, conditions])


_kept: ContextVar[Kept | None] = ContextVar("kept", default=None)


@contextmanager
def keeping(kept: Kept) -> Iterator[None]:
    """In this block, measurements are taken from where they are kept, and new ones are kept there."""
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)


def answer(task: Task, job: MeasureJob, result: type[R], measure: Callable[[], R]) -> R:
    """The answer that is kept, where answers are; else measure."""
    kept = _kept.get()
    return kept.answer(task, job, result, measure) if kept else measure()
