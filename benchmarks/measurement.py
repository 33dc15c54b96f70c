"""One measurement in one fresh process: `python -m benchmarks.measurement TASK JOB.json RESULT.json`.

A job goes in as a file and a record comes back as a file. Whatever happens to the process, a backend that
crashes or the system's out-of-memory killer, reaches the caller as the error of this one measurement.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

from runtime import Segmenter, open_artifact
from runtime.errors import EdgescopeError, report
from runtime.records import Record

from .kept import answer
from .profiles import limit_memory
from .source import Source
from .stages import Stopwatch, open_watched

R = TypeVar("R", bound=Record)
Task = Literal["score", "time", "throughput", "sustain", "energy"]
PERFORMERS = {
    "score": "quality.score_artifact",
    "time": "timing.time_artifact",
    "throughput": "throughput.measure_throughput",
    "sustain": "sustain.sustain",
    "energy": "energy.measure_energy",
}


@dataclass(frozen=True)
class Job(Record):
    """One artefact, run in one way.

    name : the row's; frame : a .npy file to time; pictures : the folder for them
    minutes : of a sustained run; memory_limit_mb : of the measuring process; None: no limit
    """

    name: str
    artifact: str
    backend: str | None
    precision_hint: str | None
    threads: int | None
    repeats: int
    frame: str
    source: Source
    pictures: str | None
    minutes: float = 0.0
    memory_limit_mb: int | None = None

    def open(self) -> Segmenter:
        """The artefact, ready to run."""
        return Segmenter.open(
            Path(self.artifact), threads=self.threads, backend=self.backend, precision_hint=self.precision_hint
        )

    def open_watched(self) -> tuple[Segmenter, Stopwatch]:
        """The same, with a stopwatch between the segmenter and the backend."""
        return open_watched(open_artifact(Path(self.artifact)), self.backend, self.threads, self.precision_hint)


def in_fresh_process(task: Task, job: Job, result: type[R]) -> R:
    """Do a job in a process of its own; EdgescopeError says how it ended where it gave no result."""
    return answer(task, job, result, partial(_measure, task, job, result))


def _measure(task: Task, job: Job, result: type[R]) -> R:
    with TemporaryDirectory(prefix="edgescope-bench-") as folder:
        question, answer = Path(folder, "job.json"), Path(folder, "result.json")
        question.write_text(job.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.measurement", task, str(question), str(answer)]
        ended = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, errors="replace", check=False
        )
        if ended.returncode != 0:
            raise EdgescopeError(_reason(ended))
        return result.from_json(answer.read_text(encoding="utf-8"))


def _environment() -> dict[str, str]:
    """This environment, in which the child finds the same packages wherever this process was started."""
    here = str(Path(__file__).resolve().parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


def _reason(ended: "subprocess.CompletedProcess[str]") -> str:
    """The error line that the child wrote, or how it died."""
    if said := [line for line in ended.stderr.splitlines() if line.startswith("error: ")]:
        return said[-1].removeprefix("error: ")
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        hint = "; was there enough memory?" if name == "SIGKILL" else ""
        return f"the measuring process was killed by {name}{hint}"
    return f"the measuring process ended with exit code {ended.returncode} and no message"


def main(task: str, question: str, answer: str) -> int:
    """The child's side."""
    try:
        job = Job.from_json(Path(question).read_text(encoding="utf-8"))
        limit_memory(job.memory_limit_mb)
        Path(answer).write_text(_performer(task)(job).to_json(), encoding="utf-8")
    except Exception as error:  # the edge of this process: everything becomes a line for the caller
        return report(error, debug=False)
    return 0


def _performer(task: str) -> Callable[[Job], Record]:
    """Imported on call: a process that times holds nothing in memory that only scoring needs."""
    module, _, name = PERFORMERS[task].partition(".")
    return getattr(import_module(f".{module}", __package__ or "benchmarks"), name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
