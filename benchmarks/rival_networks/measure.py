"""One network in one fresh process: `python -m benchmarks.rival_networks.measure QUESTION.json ANSWER.json`.

Run by the Python of the network's own environment, with this repository in PYTHONPATH.
"""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from benchmarks.latency import WARM_UP_MS, timed
from benchmarks.memory import peak_mb, resident_mb
from runtime.errors import report
from runtime.extras import UNKNOWN, version
from runtime.records import Record

from . import Question, Run, load

LEAST = 2  # timed calls


@dataclass(frozen=True)
class Answer(Record):
    """Milliseconds per call after a warm-up, resident megabytes, and the versions of what ran."""

    ms: tuple[float, ...]
    first_ms: float
    baseline_mb: float
    peak_mb: float
    versions: Mapping[str, str]


def measure(question: Question) -> Answer:
    """Build the network and time it."""
    if question.memory_mb:
        _limit_memory(question.memory_mb)
    network = load(question.network)
    frame = _read(Path(question.frame))
    baseline = resident_mb()
    run = network.open(frame, question)
    first = timed(run)
    ms = _sample(run, question)
    found = {name: version(name) for name in network.packages}
    versions = {"python": platform.python_version(), **{k: v for k, v in found.items() if v != UNKNOWN}}
    return Answer(ms, first, baseline, peak_mb(), versions)


def _read(path: Path) -> Any:
    """The array of a .npy file, the bytes of any other."""
    return np.load(path, allow_pickle=False) if path.suffix == ".npy" else path.read_bytes()


def _sample(run: Run, question: Question) -> tuple[float, ...]:
    """After 0.3 s of warm-up, but one call at least: there are networks that take half a minute."""
    warm = timed(run)
    while warm < WARM_UP_MS:
        warm += timed(run)
    ms: list[float] = []
    end = monotonic() + question.seconds
    while len(ms) < LEAST or (len(ms) < question.repeats and monotonic() < end):
        ms.append(timed(run))
    return tuple(ms)


def _limit_memory(megabytes: int) -> None:
    """An allocation fails then in this process, and the system does not have to kill some other one."""
    if sys.platform != "linux":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 10**6, megabytes * 10**6))


def main(question: str, answer: str) -> int:
    """The child's side: an error is a line for the caller."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        asked = Question.from_json(Path(question).read_text(encoding="utf-8"))
        Path(answer).write_text(measure(asked).to_json(), encoding="utf-8")
    except Exception as error:  # the edge of this process: whatever a foreign library raises is the answer
        return report(error, debug=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
