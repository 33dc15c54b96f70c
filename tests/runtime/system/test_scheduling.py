"""A process that is ready to run and gets no processor is told from one that sleeps."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.system.scheduling import NICENESS, longest_wait_s, step_back, waits

SPIN = "while True:\n    pass"


def test_the_longest_wait_of_any_thread_counts():
    assert longest_wait_s({"1": 5_000_000_000, "2": 7_000_000_000}, {"1": 1_000_000_000, "2": 6_000_000_000}) == 4.0
    assert longest_wait_s({"1": 2_000_000_000}) == 2.0
    assert longest_wait_s({}, {"1": 3}) == 0.0


def test_what_the_system_does_not_tell_is_no_wait(tmp_path: Path):
    assert waits(os.getpid(), tmp_path) == {}
    thread = tmp_path / "7" / "task" / "8"
    thread.mkdir(parents=True)
    (thread / "schedstat").write_text("nothing\n")
    assert waits(7, tmp_path) == {}
    (thread / "schedstat").write_text("100 250000000 3\n")
    assert waits(7, tmp_path) == {"8": 250_000_000}


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="the system does not tell how long a thread waited"
)
def test_two_that_share_a_processor_wait_and_a_sleeper_does_not():
    core = min(os.sched_getaffinity(0))
    pin = f"import os; os.sched_setaffinity(0, {{{core}}})\n"
    programs = [pin + SPIN, pin + SPIN, "import time; time.sleep(100)"]
    running = [subprocess.Popen([sys.executable, "-c", program]) for program in programs]
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and longest_wait_s(waits(running[0].pid)) < 0.2:
            time.sleep(0.05)
        assert longest_wait_s(waits(running[0].pid)) >= 0.2
        before = waits(running[2].pid)
        time.sleep(0.3)
        assert longest_wait_s(waits(running[2].pid), before) < 0.1
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="priorities of processes are those of POSIX")
def test_a_process_that_began_steps_back():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        step_back(process.pid)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS
    finally:
        process.communicate(b"\n")
    step_back(process.pid)  # it is gone: no error
