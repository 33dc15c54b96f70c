"""One network on one frame in one fresh process: `python -m benchmarks.rivals.measure JOB.json TIMES.json`.

Run by the Python of the network's own environment, with this repository in PYTHONPATH.
"""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time

import numpy as np

from benchmarks.measures.latency import WARM_UP_MS
from benchmarks.measures.memory import limit_memory, peak_mb, resident_mb
from benchmarks.rivals.network import NetworkJob, Run, TimedFrame
from benchmarks.rivals.ours import load
from runtime import backend as backends
from runtime.artifact.artifact import open_artifact
from runtime.errors import report
from runtime.records import Record
from runtime.system.extras import UNKNOWN, version

LEAST = 2  # timed calls


@dataclass(frozen=True)
class NetworkTimes(Record):
    """What one process measured, after a warm-up.

    stages : milliseconds of each stage in each timed call, in the order of the stages
    objects : how many the frame has, where it was timed so far
    cpu_ms : of all processor cores per timed call; it tells more than the time on a machine that others share
    first_ms : of the first call; baseline_mb, peak_mb : resident memory; versions : of what ran
    """

    stages: Mapping[str, tuple[float, ...]]
    objects: int | None
    cpu_ms: float
    first_ms: float
    baseline_mb: float
    peak_mb: float
    versions: Mapping[str, str]

    @property
    def ms(self) -> tuple[float, ...]:
        """Milliseconds of each timed call."""
        return tuple(map(sum, zip(*self.stages.values(), strict=True)))


def measure(job: NetworkJob) -> NetworkTimes:
    """Build the network and time it."""
    if sys.platform == "linux":  # an allocation fails then in this process, and the system need not kill another one
        limit_memory(job.memory_mb)
    network = load(job.network)
    frame, truth = (np.load(path, allow_pickle=False) for path in (job.frame, job.truth))
    baseline = resident_mb()
    run = network.open(frame, truth, job)
    first = run()
    calls, cpu_ms = sample(run, job)
    versions = {name: version(name) for name in (*network.packages, *_libraries(job))}
    installed = {name: number for name, number in versions.items() if number != UNKNOWN}
    return NetworkTimes(
        stages={name: tuple(call.ms[name] for call in calls) for name in first.ms},
        objects=first.objects,
        cpu_ms=cpu_ms,
        first_ms=sum(first.ms.values()),
        baseline_mb=baseline,
        peak_mb=peak_mb(),
        versions={"python": platform.python_version(), **installed},
    )


def _libraries(job: NetworkJob) -> tuple[str, ...]:
    """Those behind an artefact of ours."""
    if job.artifact is None:
        return ()
    backend = backends.find(open_artifact(Path(job.artifact)).manifest.backend)
    return backend.distributions if backend else ()


def sample(run: Run, job: NetworkJob) -> tuple[tuple[TimedFrame, ...], float]:
    """Timed calls, and the processor's milliseconds for one.

    After 0.3 s of warm-up, but one call at least: there are networks that take half a minute."""
    end = monotonic() + WARM_UP_MS / 1e3
    run()
    while monotonic() < end:
        run()
    calls: list[TimedFrame] = []
    start = process_time()
    end = monotonic() + job.seconds
    while len(calls) < LEAST or (len(calls) < job.repeats and monotonic() < end):
        calls.append(run())
    return tuple(calls), (process_time() - start) * 1e3 / len(calls)


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
