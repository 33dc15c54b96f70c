"""The command line, called in this process, a report made up by hand, and as many as wanted made up at random."""

import base64
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.host import calibration as calibration_module
from benchmarks.host.calibration import calibration, judge
from benchmarks.host.device import Device
from benchmarks.host.machine import Machine
from benchmarks.inputs.source import Data
from benchmarks.measures.figures import (
    ImageScore,
    Memory,
    Picture,
    ProbeAgreement,
    Quality,
    Round,
    Stages,
    StageSamples,
    Sustained,
    Timing,
    Trace,
    Window,
)
from benchmarks.measures.latency import histogram, summarize
from benchmarks.measures.quality import summarize as sum_up
from benchmarks.report.report import SCHEMA_VERSION, Protocol, Report, Row
from runtime.artifact.manifest import Operators

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


@pytest.fixture(scope="session", autouse=True)
def short_calibration() -> Iterator[None]:
    """Whether this machine is quiet is a question of test_calibration.py alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration_module, "LOOPS", 2)
        yield


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
        stand_in=None,
        description={"library": "openvino"},
        tile=(64, 64),
        size_bytes=1_500_000,
        operators=Operators(1, 0, "made up"),
        accuracy=None,
        agreement=ProbeAgreement(2, 0.999, 0.01, 0.001, True),
        quality=None,
        timing=timing,
        memory=memory,
        throughput=None,
        sustained=None,
        energy=None,
        not_measured={},
        error=None,
        until="objects",
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


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    """make_report({"name": "tiny-intel-int8", "ms": 10.0}, ..., images=12, seed=0): see Artefact and make_up."""

    def make(*artefacts: dict[str, Any], **how: Any) -> Report:
        return make_up([Artefact(**one) for one in artefacts] or [Artefact()], **how)

    return make


PIXELS = 1_000_000  # labelled in an image
STAGES = {
    "preprocess": 0.06,
    "host_to_device": 0.02,
    "inference": 0.6,
    "device_to_host": 0.02,
    "postprocess": 0.1,
    "labels": 0.15,
    "objects": 0.05,
}


@dataclass(frozen=True)
class Artefact:
    """A row to make up: ms per tile (median), peak MB, mean Dice; None leaves the figure out."""

    name: str = "tiny-intel-int8"
    ms: float | None = 10.0
    mb: float | None = 100.0
    dice: float | None = 0.9
    size_mb: float = 2.0


def make_up(
    artefacts: Sequence[Artefact] = (Artefact(),),
    *,
    device: Device = DEVICE,
    seed: int = 0,
    images: int = 12,
    rounds: int = 3,
    repeats: int = 50,
    noise: float = 0.02,
    frame: tuple[int, int] = (512, 512),
    data: str = "synthetic:12@7",
    content: str = "0" * 64,
    sustained: bool = False,
    pictures: bool = False,
) -> Report:
    """noise : standard deviation between rounds and between tiles, relative; 0: every sample is the same"""
    rng = np.random.default_rng(seed)
    rows = [_row(one, rng, images, rounds, repeats, noise, frame, sustained, pictures) for one in artefacts]
    calm = calibration((5.0,) * 60)
    return Report(
        schema_version=SCHEMA_VERSION,
        created="2026-01-01T00:00:00+00:00",
        edgescope="0.1.0",
        device=device,
        constrained=None,
        data=Data(data, images, "CC0", "made up", {}, content),
        protocol=Protocol(rounds, repeats, None, False, False, None, artefacts[0].name),
        noise=judge(calm, calm),
        rows=tuple(rows),
        digest=None,
    ).sealed()


def _row(
    one: Artefact,
    rng: np.random.Generator,
    images: int,
    rounds: int,
    repeats: int,
    noise: float,
    frame: tuple[int, int],
    sustained: bool,
    pictures: bool,
) -> Row:
    student, target, precision = one.name.rsplit("-", 2)
    timing = None if one.ms is None else _timing(one, rng, rounds, repeats, noise, frame)
    return Row(
        name=one.name,
        student=student,
        target=target,
        precision=precision,
        precision_hint=None,
        threads=None,
        backend={"intel": "openvino", "microscope": "tflite"}.get(target, "tensorrt"),
        stand_in=None,
        description={"library": "made up"},
        tile=(256, 256),
        size_bytes=round(one.size_mb * 1e6),
        operators=Operators(1, 0, "made up"),
        accuracy=None,
        agreement=ProbeAgreement(2, 0.999, 0.01, 0.001, True),
        quality=None if one.dice is None else _quality(one.dice, rng, images, pictures),
        timing=timing,
        memory=timing and timing.rounds[0].memory,
        throughput=None,
        sustained=_sustained(one.ms, rng, frame) if sustained and one.ms else None,
        energy=None,
        not_measured={},
        error=None,
        until="objects",
    )


def _timing(
    one: Artefact, rng: np.random.Generator, rounds: int, repeats: int, noise: float, frame: tuple[int, int]
) -> Timing:
    measured = [_round(one, rng, repeats, noise, frame) for _ in range(rounds)]
    parts = {name: [ms for r in measured for ms in getattr(r.stages, name)] for name in (*STAGES, "total")}
    return Timing(
        load_ms=median(r.load_ms for r in measured),
        first_frame_ms=median(r.first_frame_ms for r in measured),
        tile_ms=summarize([ms for r in measured for ms in r.tile_ms]),
        frame_ms=summarize([ms for r in measured for ms in r.frame_ms]),
        frame_shape=frame,
        stages=Stages(**{name: summarize(values) for name, values in parts.items()}),
        speedup=1.0,
        rounds=tuple(measured),
    )


def _round(one: Artefact, rng: np.random.Generator, repeats: int, noise: float, frame: tuple[int, int]) -> Round:
    ms = float((one.ms or 0.0) * np.exp(noise * rng.standard_normal()))
    tiles = ms * np.exp(noise * rng.standard_normal(repeats)) * (1 + (noise > 0) * rng.pareto(6, repeats) * 0.1)
    frames = ms * 9 * np.exp(noise * rng.standard_normal(repeats))
    mb = (one.mb or 0.0) * np.exp(0.1 * noise * rng.standard_normal())
    stages = {name: tuple((share * frames).tolist()) for name, share in STAGES.items()}
    return Round(
        load_ms=20 * ms,
        first_frame_ms=12 * ms,
        tile_ms=tuple(tiles.tolist()),
        frame_ms=tuple(frames.tolist()),
        stages=StageSamples(**stages, total=tuple(frames.tolist())),
        memory=Memory(50.0, 0.95 * float(mb), float(mb), None, None),
    )


def _quality(dice: float, rng: np.random.Generator, images: int, pictures: bool) -> Quality:
    hard = np.random.default_rng(1).beta(2, 20, images)  # the same images are hard for all
    scores = np.clip(dice + hard.mean() - hard + 0.005 * rng.standard_normal(images), 0, 1)
    return replace(
        sum_up([_score(f"image-{i:02}", float(value)) for i, value in enumerate(scores)], "nuclei"),
        worst=tuple(_picture(i, float(scores[i])) for i in np.argsort(scores)[:3]) if pictures else (),
    )


def _score(name: str, dice: float) -> ImageScore:
    found, objects = round(PIXELS * dice), round(100 * dice)
    pixels = (found, PIXELS - found, PIXELS - found)
    counts = (objects, 4, 100 - objects)
    parts = {"dice": pixels, "ap50": counts, "panoptic_quality": (*counts, 0.8 * objects), "hd95_px": (3.0,)}
    return ImageScore(name, {metric: tuple(map(float, values)) for metric, values in parts.items()})


def _picture(i: int, dice: float) -> Picture:
    rng = np.random.default_rng(i)
    pixels = np.zeros((96, 96, 3), np.uint8)
    y, x = np.mgrid[:96, :96]
    for cy, cx, r in rng.uniform((10, 10, 6), (86, 86, 14), (8, 3)):
        distance = np.hypot(y - cy, x - cx)
        pixels[distance < r] = rng.integers(90, 220)
        pixels[abs(distance - r) < 1] = (230, 159, 0)
        pixels[abs(distance - r - 2) < 0.7] = (86, 180, 233)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Picture(f"image-{i:02}", dice, 96, 96, base64.b64encode(file.getvalue()).decode())


def _sustained(ms: float, rng: np.random.Generator, frame: tuple[int, int]) -> Sustained:
    times = tuple(float(t) for t in range(5, 120, 10))
    p50 = [float(9 * ms * (1 + 0.0008 * t + 0.01 * rng.standard_normal())) for t in times]
    windows = tuple(Window(t, 100, value, 1.1 * value, 1.3 * value) for t, value in zip(times, p50, strict=True))
    warm = Trace("package", "°C", times, tuple(50 + 25 * (1 - math.exp(-t / 40)) for t in times))
    return Sustained(
        minutes=2.0,
        seconds=120.0,
        frames=round(120e3 / median(p50)),
        frame_shape=frame,
        frames_per_s=1e3 / median(p50),
        frame_ms=summarize(p50),
        histogram=histogram(p50),
        windows=windows,
        drift_ms_per_minute=0.05 * ms,
        drift_interval=(0.04 * ms, 0.06 * ms),
        drift_percent=9.0,
        traces=(warm,),
        throttled=(),
    )
