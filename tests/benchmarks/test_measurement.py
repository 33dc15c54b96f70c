"""What a measuring process tells its caller, whichever way it ends; and what memory it counts."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measurement
from benchmarks.figures import Round
from benchmarks.measurement import Job, in_fresh_process
from benchmarks.source import Source
from runtime.errors import EdgescopeError

JOB = Job("nothing", "/no/such/artefact", None, None, None, 2, "/no/such/frame.npy", Source(), None)
GROW = """
import numpy as np
from benchmarks.memory import peak_mb, resident_mb
before = peak_mb()
np.ones(50_000_000, np.uint8)
assert 45 < peak_mb() - before < 60, (before, peak_mb())
assert resident_mb() < peak_mb() - 40
"""


def ended(code: int, said: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.CompletedProcess([], code, "", said)


def test_the_error_of_the_process_is_the_error_of_the_measurement():
    with pytest.raises(EdgescopeError, match=r"/no/such/artefact"):
        in_fresh_process("score", JOB, Round)


@pytest.mark.parametrize(
    ("process", "reason"),
    [
        (ended(1, "warning\nerror: no such thing\nbye"), "no such thing"),
        (ended(-9), "killed by SIGKILL; was there enough memory?"),
        (ended(-11), "killed by SIGSEGV"),
        (ended(3221225477), "exit code 3221225477"),
    ],
)
def test_every_end_has_a_reason(process: "subprocess.CompletedProcess[str]", reason: str):
    assert reason in measurement._reason(process)


def test_a_job_survives_the_way_to_its_process():
    job = Job("a", "b", None, "bf16", 2, 5, "c", Source(data="synthetic:1", names=("x",), labels="nuclei"), "d")
    assert Job.from_json(job.to_json()) == job


def test_the_peak_outlives_the_memory_it_counted():
    subprocess.run([sys.executable, "-c", GROW], cwd=Path(__file__).parents[2], check=True)
