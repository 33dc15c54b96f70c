"""The device's description: complete enough to read a figure by, and fit to be passed on."""

import getpass
import platform
from pathlib import Path

import pytest

from benchmarks.host.fingerprint import fingerprint
from benchmarks.host.machine import Machine


def test_the_description_names_processor_and_libraries():
    described = fingerprint()
    assert described.cpu
    assert 1 <= described.usable_cores
    assert described.memory_mb > 100
    assert described.versions["numpy"]


def test_the_description_names_neither_host_nor_user():
    text = fingerprint().to_json()
    assert platform.node() not in text or len(platform.node()) < 4  # a short name may be part of any word
    assert f"/{getpass.getuser()}/" not in text


@pytest.mark.parametrize(
    ("text", "cpu", "isa"),
    [
        ("model name\t: A\nflags\t\t: fpu avx2 amx_bf16\n", "A", ("avx2", "amx_bf16")),
        ("Features\t: fp asimd asimddp\n\nModel\t\t: Board\n", "Board", ("asimd", "asimddp")),
    ],
)
def test_flags_are_read_from_x86_and_arm(tmp_path: Path, text: str, cpu: str, isa: tuple[str, ...]):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    described = fingerprint(Machine(tmp_path))
    assert (described.cpu, described.isa) == (cpu, isa)
    assert described.has_bf16 == ("amx_bf16" in isa)
