"""One network in one fresh process: `python -m benchmarks.rivals.measure JOB.json TIMES.json`.

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

from benchmarks.measures.latency import WARM_UP_MS, timed
from benchmarks.measures.memory import limit_memory, peak_mb, resident_mb
from benchmarks.rivals.network import NetworkJob, Run
from benchmarks.rivals.ours import load
from runtime import backend as backends
from runtime.artifact.artifact import open_artifact
from runtime.errors import report
from runtime.records import Record
from runtime.system.extras import UNKNOWN, version

LEAST = 2  # timed calls


@dataclass(frozen=True)
class NetworkTimes(Record):
    """Milliseconds per call after a warm-up, resident megabytes, and the versions of what ran."""

    ms: tuple[float, ...]
    first_ms: float
    baseline_mb: float
    peak_mb: float
    versions: Mapping[str, str]


def measure(job: NetworkJob) -> NetworkTimes:
    """Build the network and time it."""
    if sys.platform == "linux":  # an allocation fails then in this process, and the system need not kill another one
        limit_memory(job.memory_mb)
    network = load(job.network)
    frame = _read(Path(job.frame))
    baseline = resident_mb()
    run = network.open(frame, job)
    first = timed(run)
    ms = sample(run, job)
    versions = {name: version(name) for name in (*network.packages, *_libraries(job))}
    told = {name: number for name, number in versions.items() if number != UNKNOWN}
    return NetworkTimes(ms, first, baseline, peak_mb(), {"python": platform.python_version(), **told})


def _libraries(job: NetworkJob) -> tuple[str, ...]:
    """Those behind an artefact of ours."""
    if job.artifact is None:
        return ()
    backend = backends.find(open_artifact(Path(job.artifact)).manifest.backend)
    return backend.distributions if backend else ()


def _read(path: Path) -> Any:
    """The array of a .npy file, the bytes of any other."""
    return np.load(path, allow_pickle=False) if path.suffix == ".npy" else path.read_bytes()


def sample(run: Run, job: NetworkJob) -> tuple[float, ...]:
    """After 0.3 s of warm-up, but one call at least: there are networks that take half a minute."""
    warm = timed(run)
    while warm < WARM_UP_MS:
        warm += timed(run)
    ms: list[float] = []
    end = monotonic() + job.seconds
    while len(ms) < LEAST or (len(ms) < job.repeats and monotonic() < end):
        ms.append(timed(run))
    return tuple(ms)


def main(question: str, place: str) -> int:
    """The child's side: an error is a line for the caller."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        job = NetworkJob.from_json(Path(question).read_text(encoding="utf-8"))
        Path(place).write_text(measure(job).to_json(), encoding="utf-8")
    except Exception as error:  # the edge of this process: whatever a foreign library raises is the answer
        return report(error, debug=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
