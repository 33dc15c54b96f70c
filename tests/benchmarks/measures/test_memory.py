"""What memory is counted: of the process, of the accelerator, and where both share one."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measures.memory import Levels, device_mb, has_unified_memory, resident_mb, taken

GROW = """
import numpy as np
from benchmarks.measures.memory import peak_mb, resident_mb
before = peak_mb()
np.ones(50_000_000, np.uint8)
assert 45 < peak_mb() - before < 60, (before, peak_mb())
assert resident_mb() < peak_mb() - 40
"""


def test_the_peak_outlives_the_memory_it_counted():
    subprocess.run([sys.executable, "-c", GROW], cwd=Path(__file__).parents[3], check=True)


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
