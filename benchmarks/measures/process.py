"""One measurement in one fresh process: `python -m benchmarks.measures.process TASK JOB.json RESULT.json`.

A job goes in as a file and a record comes back as a file. Whatever happens to the process, a backend that
crashes or the system's out-of-memory killer, reaches the caller as the error of this one measurement.
"""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from benchmarks.measures.job import MeasureJob, Task
from benchmarks.measures.kept import answer
from benchmarks.measures.memory import limit_memory
from runtime.errors import report
from runtime.records import Record
from runtime.system import programs

R = TypeVar("R", bound=Record)
PERFORMERS = {
    "score": "quality.score_artifact",
    "time": "timing.time_artifact",
    "throughput": "throughput.measure_throughput",
    "sustain": "sustain.sustain",
    "energy": "energy.measure_energy",
}


def in_fresh_process(task: Task, job: MeasureJob, result: type[R]) -> R:
    """Do a job in a process of its own; EdgescopeError says how it ended where it gave no result."""
    return answer(task, job, result, partial(measure, task, job, result))


def measure(task: Task, job: MeasureJob, result: type[R]) -> R:
    """The same, and never from what was kept."""
    with TemporaryDirectory(prefix="edgescope-bench-") as folder:
        question, place = Path(folder, "job.json"), Path(folder, "result.json")
        question.write_text(job.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.measures.process", task, str(question), str(place)]
        programs.run_or_raise(command, environment=programs.environment())
        return result.from_json(place.read_text(encoding="utf-8"))


def main(task: str, question: str, place: str) -> int:
    """The child's side."""
    try:
        job = MeasureJob.from_json(Path(question).read_text(encoding="utf-8"))
        limit_memory(job.memory_limit_mb)
        Path(place).write_text(_performer(task)(job).to_json(), encoding="utf-8")
    except Exception as error:  # the edge of this process: everything becomes a line for the caller
        return report(error, debug=False)
    return 0


def _performer(task: str) -> Callable[[MeasureJob], Record]:
    """Imported on call: a process that times holds nothing in memory that only scoring needs."""
    module, _, name = PERFORMERS[task].partition(".")
    return getattr(import_module(f"benchmarks.measures.{module}"), name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
