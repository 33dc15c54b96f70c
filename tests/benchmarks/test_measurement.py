"""What a measuring process tells its caller, whichever way it ends; and what memory it counts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import measurement
from benchmarks.figures import Round
from benchmarks.measurement import Job, in_fresh_process
from benchmarks.memory import Levels, device_mb, has_unified_memory, resident_mb, taken
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


def test_memory_is_compared_before_and_after():
    before, steady = Levels(50.0, 1000.0, 8000.0), Levels(80.0, 1300.0, 7500.0)
    memory = taken(before, steady)
    assert (memory.baseline_mb, memory.steady_mb) == (50.0, 80.0)
    assert memory.peak_mb >= resident_mb() * 0.5
    assert memory.device_mb == 300.0
    assert memory.available_drop_mb == 500.0


def test_a_device_without_memory_of_its_own_has_none():
    memory = taken(Levels(50.0, None, None), Levels(80.0, None, None))
    assert memory.device_mb is None
    assert memory.available_drop_mb is None


def test_what_is_in_use_on_nvidia_devices_is_asked_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '100\\n28\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert device_mb() == pytest.approx(128 * 2**20 / 1e6)
    program.write_text("#!/bin/sh\necho 'no devices were found'; exit 6\n")
    assert device_mb() is None


def test_a_jetson_has_one_memory(stand_in):
    assert has_unified_memory(stand_in("jetson-orin-nano").root)
    assert not has_unified_memory(stand_in("intel-laptop").root)


@pytest.mark.skipif(sys.platform != "linux", reason="a limit can be set on Linux alone")
def test_a_process_that_outgrows_its_limit_is_the_error_of_its_row(write_tiny, tmp_path: Path):
    np.save(tmp_path / "frame.npy", np.zeros((4000, 4000), np.uint16))
    job = replace(JOB, artifact=str(write_tiny()), frame=str(tmp_path / "frame.npy"), memory_limit_mb=120)
    with pytest.raises(EdgescopeError):
        in_fresh_process("time", job, Round)
