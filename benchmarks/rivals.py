"""How long the networks take that people would use in place of ours: the same frames, threads, machine and minutes.

Each rival has an environment of its own, FOLDER/NAME, made when it is first asked for; one that cannot be installed or
does not run is a row that says why. The rounds go over all networks before they start again, a fresh process each, and
ratios are paired by round, so that whatever disturbs a shared machine disturbs all of them alike.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from distill import datasets
from runtime import __version__
from runtime.artifact import MANIFEST
from runtime.atomic import make_folder, write_bytes
from runtime.errors import EdgescopeError
from runtime.manifest import Normalization
from runtime.normalize import normalize
from runtime.records import Record

from . import rival_networks
from .device import Device
from .fingerprint import fingerprint
from .noise import Noise, calibrate, judge
from .rival_networks import OURS, Network, Question
from .rival_networks.measure import Answer

SCHEMA_VERSION = 1
ROOT = Path(__file__).resolve().parent.parent
SPARED_MB = 1500  # of the memory that is available, for all else on this machine
PATIENCE_S = 1800
SAID = 300  # characters of what a failed installation said


@dataclass(frozen=True)
class Plan:
    """What the caller asked for. folder: of the environments and our artefacts; frame: the data spec of a frame."""

    folder: Path
    networks: tuple[str, ...]
    sides: tuple[int, ...]
    threads: int
    rounds: int
    repeats: int
    seconds: float
    student: str


@dataclass(frozen=True)
class Result(Record):
    """One network on frames of side x side pixels.

    ms : the median of all calls of all rounds; ratio : to ours, the median of the ratios of the rounds
    not_measured : why there are no figures; None if there are"""

    network: str
    title: str
    description: str
    side: int
    ms: float | None
    ratio: float | None
    peak_mb: float | None
    answers: tuple[Answer, ...]
    not_measured: str | None


@dataclass(frozen=True)
class Comparison(Record):
    """All of it. Network only: neither reading, nor normalising, nor making objects; weights are untrained."""

    schema_version: int
    created: str
    edgescope: str
    device: Device
    noise: Noise | None
    data: str
    threads: int
    rounds: int
    results: tuple[Result, ...]


Step = Callable[[str], None]


def run(plan: Plan, step: Step, keep: Callable[[Comparison], None]) -> Comparison:
    """Install what is missing, then measure size by size.

    step : told what is done next; keep : given what is known after each size"""
    before = calibrate()
    pythons = {name: _python(name, plan.folder, step) for name in (OURS, *plan.networks)}
    found = _comparison(plan, [], None)
    for side in plan.sides:
        results = [*found.results, *_one_size(plan, side, pythons, step)]
        found = _comparison(plan, results, judge(before, calibrate()))
        keep(found)
    return found


def steps(plan: Plan) -> int:
    """How many steps `run` tells at most."""
    networks = len(plan.networks)
    return networks + len(plan.sides) * (1 + (1 + networks) * plan.rounds)


def _comparison(plan: Plan, results: Sequence[Result], noise: Noise | None) -> Comparison:
    return Comparison(
        schema_version=SCHEMA_VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgescope=__version__,
        device=fingerprint(),
        noise=noise,
        data=_data(plan.sides[0]).replace(str(plan.sides[0]), "SIDE"),
        threads=plan.threads,
        rounds=plan.rounds,
        results=tuple(results),
    )


def _data(side: int) -> str:
    return f"synthetic:1@1?size={side}"


# Environments: a Python, or the reason why there is none.


@dataclass(frozen=True)
class Missing:
    """Why an environment cannot be had."""

    reason: str


def _python(name: str, folder: Path, step: Step) -> Path | Missing:
    """The Python that has a network's packages, installed now where they are not yet."""
    network = rival_networks.load(name)
    if not network.requirements:
        return Path(sys.executable)
    step(f"{network.title}: install")
    home = folder / name
    python = python_of(home)
    stamp, due = home / "installed.txt", "\n".join(network.requirements)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == due:
        return python
    try:
        _install(network, home, python)
    except EdgescopeError as error:
        return Missing(str(error))
    write_bytes(stamp, due.encode())  # last: an interrupted installation is taken up again
    return python


def python_of(home: Path) -> Path:
    """The Python of an environment."""
    return home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _install(network: Network, home: Path, python: Path) -> None:
    if not python.exists():
        make_folder(home.parent)
        _do([sys.executable, "-m", "venv", "--clear", *(["--without-pip"] if _has_uv() else []), str(home)])
    *attempts, last = installations(network, python)
    for command in attempts:
        try:
            return _do(command)
        except EdgescopeError:
            continue  # the smaller build is not within reach, and the usual one does as well
    return _do(last)


def installations(network: Network, python: Path) -> list[list[str]]:
    """The commands that install a network's packages, each tried where the one before failed."""
    if not _has_uv():
        return [[str(python), "-m", "pip", "install", "--quiet", *network.requirements]]
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    for_cpu = [[*uv, "--torch-backend", "cpu", *network.requirements]] if network.with_torch else []
    return [*for_cpu, [*uv, *network.requirements]]


def _has_uv() -> bool:
    return find_spec("uv") is not None


def _do(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run it; EdgescopeError with what it said last."""
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=PATIENCE_S, env=env
        )
    except subprocess.TimeoutExpired as error:
        msg = f"it took longer than {PATIENCE_S / 60:g} minutes"
        raise EdgescopeError(msg) from error
    if ended.returncode != 0:
        lines = [line for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")] or lines[-1:]
        said = errors[-1].removeprefix("error: ")[:SAID] if errors else ""
        raise EdgescopeError(said or f"it ended with exit code {ended.returncode} and no message")


# Measuring: ours and every rival, and again from the first.


def _one_size(plan: Plan, side: int, pythons: Mapping[str, Path | Missing], step: Step) -> list[Result]:
    failed = {name: python.reason for name, python in pythons.items() if isinstance(python, Missing)}
    answers: dict[str, list[Answer]] = {name: [] for name in pythons}
    step(f"{side}x{side}: compile ours")
    try:
        artifact = _ours(plan, side)
    except EdgescopeError as error:
        artifact, failed[OURS] = None, str(error)
    with TemporaryDirectory(prefix="edgescope-rivals-") as folder:
        frame = Path(folder, "frame.npy")
        np.save(frame, normalize(datasets.open(_data(side))[0].frame, Normalization()))
        for number in range(plan.rounds):
            for name, python in pythons.items():
                step(f"{name}, {side}x{side}: round {number + 1} of {plan.rounds}")
                if name in failed or isinstance(python, Missing):
                    continue
                try:
                    answers[name].append(_ask(plan, name, python, frame, artifact))
                except EdgescopeError as error:
                    failed[name] = str(error)
    return [result(name, side, answers[name], answers[OURS], failed.get(name)) for name in pythons]


def _ours(plan: Plan, side: int) -> Path:
    """Our student for frames of this size, compiled where it is not yet: by a command, for it needs torch."""
    folder = plan.folder / OURS / f"{plan.student}-{side}"
    found = next(folder.glob(f"*/{MANIFEST}"), None)
    if not found:
        command = [sys.executable, "-m", "compile", "--target", "intel", "--student", plan.student]
        _do([*command, "--tile", str(side), "--out", str(folder)], env=_environment())
        found = next(folder.glob(f"*/{MANIFEST}"))
    return found.parent


def _ask(plan: Plan, name: str, python: Path, frame: Path, artifact: Path | None) -> Answer:
    memory = max(psutil.virtual_memory().available // 10**6 - SPARED_MB, SPARED_MB)
    question = Question(
        network=name,
        frame=str(frame),
        threads=plan.threads,
        repeats=plan.repeats,
        seconds=plan.seconds,
        memory_mb=memory,
        artifact=str(artifact.resolve()) if artifact else None,
    )
    asked, answered = frame.with_name("question.json"), frame.with_name("answer.json")
    asked.write_text(question.to_json(), encoding="utf-8")
    command = [str(python), "-m", "benchmarks.rival_networks.measure", str(asked), str(answered)]
    _do(command, env=_environment() | {"OMP_NUM_THREADS": str(plan.threads), "CUDA_VISIBLE_DEVICES": ""})
    return Answer.from_json(answered.read_text(encoding="utf-8"))


def _environment() -> dict[str, str]:
    """Ours, in which every Python finds this repository."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def result(name: str, side: int, answers: Sequence[Answer], ours: Sequence[Answer], failed: str | None) -> Result:
    """What the rounds say about one network; rounds that ours did not finish pair with nothing."""
    network = rival_networks.load(name)
    nothing = Result(name, network.title, network.description, side, None, None, None, tuple(answers), failed)
    if failed or not answers:
        return replace(nothing, not_measured=failed or "no round was finished")
    ratios = [median(theirs.ms) / median(our.ms) for theirs, our in zip(answers, ours, strict=False)]
    return replace(
        nothing,
        ms=median(ms for answer in answers for ms in answer.ms),
        ratio=median(ratios) if ratios else None,
        peak_mb=median(answer.peak_mb for answer in answers),
    )


def to_markdown(found: Comparison) -> str:
    """A table, a row for each network and two columns for each size; below it what was measured, and on what."""
    sides = sorted({item.side for item in found.results})
    heads = [head for side in sides for head in (f"{side}x{side} ms", "of ours", "peak MB")]
    lines = ["| network | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    by = {(item.network, item.side): item for item in found.results}
    networks = list(dict.fromkeys(item.network for item in found.results))
    for name in networks:
        cells = [cell for side in sides for cell in _cells(by[name, side])]
        lines.append(f"| {by[name, sides[0]].title} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(found))]) + "\n"


def _cells(item: Result) -> tuple[str, str, str]:
    if item.ms is None or item.peak_mb is None:
        return "-", "-", "-"
    ratio = "-" if item.ratio is None else f"{item.ratio:.1f}x"
    return f"{item.ms:.0f}" if item.ms >= 10 else f"{item.ms:.1f}", ratio, f"{item.peak_mb:.0f}"


def notes(found: Comparison) -> list[str]:
    """What the table's figures are, and what is missing from it."""
    device = found.device
    said = [
        "The network alone, from a normalised frame to its raw output; weights are untrained, but ours: how long a "
        "network takes does not depend on them.",
        f"Medians on {device.cpu}, {device.usable_cores} cores, {found.threads} thread"
        f"{'s' * (found.threads != 1)} each, {device.os}; {found.rounds} interleaved rounds, a fresh process each; "
        "ratios are paired by round.",
    ]
    described: dict[str, str] = {}
    for item in found.results:
        versions = dict(item.answers[0].versions) if item.answers else {}
        if item.network not in described or versions:
            shown = ", ".join(f"{name} {version}" for name, version in versions.items())
            described[item.network] = f"{item.title}: {item.description}{f' ({shown})' * bool(shown)}."
    said += described.values()
    said += [
        f"{item.title} at {item.side}x{item.side} was not measured: {item.not_measured}"
        for item in found.results
        if item.not_measured
    ]
    return [*said, *(f"Doubtful: {reason}" for reason in (found.noise.reasons if found.noise else ()))]
