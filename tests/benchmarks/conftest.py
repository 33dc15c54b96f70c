"""The command line, called in this process, and a report that was made up by hand."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.device import Device
from benchmarks.figures import Agreement, Memory, Round, Timing
from benchmarks.latency import summarize
from benchmarks.machine import Machine
from benchmarks.report import SCHEMA_VERSION, Data, Protocol, Report, Row

DEVICE = Device(
    cpu="Some CPU",
    isa=("avx2",),
    board=None,
    cores=4,
    logical_cores=4,
    usable_cores=2,
    affinity=(0, 1),
    quota_cores=None,
    clocks=None,
    memory_mb=8000,
    memory_limit_mb=None,
    numa=("0-3",),
    os="Linux",
    distribution=None,
    container=None,
    virtual_machine=None,
    on_battery=None,
    jetson=None,
    throttled=None,
    python="3.11.7",
    versions={"numpy": "2.4.6"},
    drivers={},
    warnings=(),
)


@dataclass(frozen=True)
class Said:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """bench("run", "--data", ...) calls `python -m benchmarks run --data ...`."""

    def call(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str], Machine]:
    """stand_in("raspberry-pi-5") -> the files of that device as a machine; see stand_ins/README.md."""

    def lay_out(name: str) -> Machine:
        tree = json.loads(Path(__file__).with_name("stand_ins").joinpath(f"{name}.json").read_text(encoding="utf-8"))
        for path, text in tree.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return Machine(tmp_path / name)

    return lay_out


@pytest.fixture(scope="session")
def report() -> Report:
    """One artefact on one device: 40 tiles of 1 to 40 ms in one round, no labels."""
    samples = tuple(float(ms) for ms in range(1, 41))
    memory = Memory(50.0, 65.0, 70.0, None, None)
    timing = Timing(
        load_ms=100.0,
        first_frame_ms=20.0,
        tile_ms=summarize(samples),
        frame_ms=summarize((9.0,)),
        frame_shape=(64, 64),
        stages=None,
        speedup=1.0,
        rounds=(Round(100.0, 20.0, samples, (9.0,), None, memory),),
    )
    row = Row(
        name="tiny-intel-int8",
        student="tiny",
        target="intel",
        precision="int8",
        precision_hint=None,
        threads=None,
        backend="openvino",
        stand_in=False,
        description={"library": "openvino"},
        tile=(64, 64),
        size_bytes=1_500_000,
        operators={"convolutions": 1},
        agreement=Agreement(2, 0.999, 0.01, 0.001, True),
        quality=None,
        timing=timing,
        memory=memory,
        throughput=None,
        sustained=None,
        energy=None,
        not_measured={},
        error=None,
    )
    return Report(
        schema_version=SCHEMA_VERSION,
        created="2026-01-01T00:00:00+00:00",
        edgescope="0.1.0",
        device=DEVICE,
        constrained=None,
        data=Data("synthetic:1", 1, "CC0", "", {}, "0" * 64),
        protocol=Protocol(1, 40, None, False, False, None, "tiny-intel-int8"),
        noise=None,
        rows=(row,),
        digest=None,
    ).sealed()
