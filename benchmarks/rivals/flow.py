"""How long people wait with what they would use in place of ours: the same frames, threads, machine and minutes.

From the frame of a camera to a label image and a row for each object, stage by stage; see benchmarks/rivals/network.py.

Each rival has an environment of its own, FOLDER/NAME, made when it is first asked for; one that cannot be installed or
does not run is a row that says why. The rounds go over all networks before they start again, a fresh process each, and
ratios are paired by round, so that whatever disturbs a shared machine disturbs all of them alike.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from benchmarks.host.calibration import Calibration, calibrate, judge
from benchmarks.host.fingerprint import fingerprint
from benchmarks.inputs.compiled import compile_artifact, targets
from benchmarks.rivals.measure import NetworkTimes
from benchmarks.rivals.network import OBJECTS, NetworkJob, RivalNetwork
from benchmarks.rivals.ours import OURS, load
from benchmarks.rivals.record import SCHEMA_VERSION, NetworkResult, RivalComparison, Subject, results
from distill import datasets
from runtime import __version__
from runtime import backend as backends
from runtime.artifact.artifact import Artifact
from runtime.errors import EdgescopeError, InputError
from runtime.system import programs
from runtime.system.atomic import make_folder, write_bytes
from runtime.system.rounds import in_rounds

WHOLE = "frame"  # a tile that is the frame
FRAME_TILES = (WHOLE, "704x2048", "256")  # the second: a third of the largest frame, with overlap, and its memory
DEFAULT_STUDENT = "nuclei-fast"  # the one that `compile` takes
PRECISION = "int8"
SPARED_MB = 1500  # of the memory that is available, for all else on this machine
PATIENCE_S = 1800
SEED = 1
LABEL_KIND = "nuclei"
DATA = "synthetic:1@{seed}?size={side}"


@dataclass(frozen=True)
class RivalsPlan:
    """What the caller asked for.

    folder : of the environments and our artefacts
    networks : the rivals
    students : of ours, names or folders
    frame_tiles : the tiles that ours cut frames into: "frame", "256", "512x2048"
    target : that ours are compiled for; None: the first whose backend runs here
    until : the stage that a frame ends with: "network", "labels" or "objects"
    """

    folder: Path
    networks: tuple[str, ...]
    sides: tuple[int, ...]
    threads: int
    rounds: int
    repeats: int
    seconds: float
    students: tuple[str, ...]
    frame_tiles: tuple[str, ...] = FRAME_TILES
    target: str | None = None
    until: str = OBJECTS

    def subjects(self, side: int) -> list[Subject]:
        """What is timed at this size, in the order of the turns: ours first."""
        tiles = dict.fromkeys((side, side) if tile == WHOLE else tile_sides(tile) for tile in self.frame_tiles)
        fitting = [tile for tile in tiles if max(tile) <= side]
        ours = [Subject(OURS, student, tile) for student in self.students for tile in fitting]
        return [*ours, *(Subject(name) for name in self.networks)]


def tile_sides(tile: str) -> tuple[int, int]:
    """Height and width of "256" or "512x2048"; InputError for what is neither."""
    height, by, width = tile.partition("x")
    sides = (height, width if by else height)
    if not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        msg = f"A frame cannot be cut into tiles of {tile!r}; write frame, 256 or 512x2048."
        raise InputError(msg)
    return int(sides[0]), int(sides[1])


Step = Callable[[str], None]


def run(plan: RivalsPlan, step: Step, keep: Callable[[RivalComparison], None]) -> RivalComparison:
    """Install what is missing, then measure size by size.

    step : told what is done next; keep : given what is known after each size"""
    before = calibrate()
    names = dict.fromkeys(subject.network for side in plan.sides for subject in plan.subjects(side))
    pythons = {name: python(name, plan.folder, step) for name in names}
    measured: list[NetworkResult] = []
    truth: dict[str, int] = {}
    for side in plan.sides:
        with TemporaryDirectory(prefix="edgescope-rivals-") as folder:
            truth[str(side)] = write_frame(side, Path(folder))
            measured += _one_size(plan, side, Path(folder), pythons, step)
        keep(_comparison(plan, measured, before, truth))
    return _comparison(plan, measured, before, truth)


def steps(plan: RivalsPlan) -> int:
    """How many steps `run` tells at most."""
    return len(plan.networks) + sum(
        sum(subject.student is not None for subject in subjects) + len(subjects) * plan.rounds
        for subjects in map(plan.subjects, plan.sides)
    )


def _comparison(
    plan: RivalsPlan, measured: Sequence[NetworkResult], before: Calibration, truth: Mapping[str, int]
) -> RivalComparison:
    return RivalComparison(
        schema_version=SCHEMA_VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgescope=__version__,
        device=fingerprint(),
        noise=judge(before, calibrate()),
        data=DATA.format(seed=SEED, side="SIDE"),
        threads=plan.threads,
        rounds=plan.rounds,
        results=tuple(measured),
        students=tuple(map(name_of, plan.students)),
        until=plan.until,
        truth=dict(truth),
    )


FRAME, TRUTH = "frame.npy", "truth.npy"


def write_frame(side: int, folder: Path) -> int:
    """Write a generated field, uint16, and its true labels, int32; returns how many objects it has."""
    sample = datasets.open(DATA.format(seed=SEED, side=side), "all")[0]
    truth = sample.labels[LABEL_KIND].astype(np.int32)
    np.save(folder / FRAME, sample.frame.astype(np.uint16))
    np.save(folder / TRUTH, truth)
    return len(np.unique(truth[truth > 0]))


# Environments: a Python, or the reason why there is none.


@dataclass(frozen=True)
class Missing:
    """Why an environment cannot be had."""

    reason: str


def python(name: str, folder: Path, step: Step) -> Path | Missing:
    """The Python that has a network's packages, installed now where they are not yet."""
    network = load(name)
    if not network.requirements:
        return Path(sys.executable)
    step(f"{network.title}: install")
    home = folder / name
    stamp, requirements = home / "installed.txt", "\n".join(network.requirements)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == requirements:
        return python_of(home)
    try:
        install(network, home)
    except EdgescopeError as error:
        return Missing(str(error))
    write_bytes(stamp, requirements.encode())  # last: an interrupted installation is taken up again
    return python_of(home)


def python_of(home: Path) -> Path:
    """The Python of an environment."""
    return home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(network: RivalNetwork, home: Path) -> None:
    if not python_of(home).exists():
        make_folder(home.parent)
        bare = ["--without-pip"] if has_uv() else []
        programs.run_or_raise([sys.executable, "-m", "venv", "--clear", *bare, str(home)], timeout_s=PATIENCE_S)
    *attempts, last = installations(network, python_of(home))
    for command in attempts:
        try:
            programs.run_or_raise(command, timeout_s=PATIENCE_S)
        except EdgescopeError:
            continue  # the smaller build is not within reach, and the usual one does as well
        return
    programs.run_or_raise(last, timeout_s=PATIENCE_S)


def installations(network: RivalNetwork, python: Path) -> list[list[str]]:
    """The commands that install a network's packages, each tried where the one before failed."""
    if not has_uv():
        return [[str(python), "-m", "pip", "install", "--quiet", *network.requirements]]
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    for_cpu = [[*uv, "--torch-backend", "cpu", *network.requirements]] if network.with_torch else []
    return [*for_cpu, [*uv, *network.requirements]]


def has_uv() -> bool:
    """Whether uv is installed here; it takes seconds where pip takes minutes."""
    return find_spec("uv") is not None


# Measuring: ours and every rival, and again.


def _one_size(
    plan: RivalsPlan, side: int, folder: Path, pythons: Mapping[str, Path | Missing], step: Step
) -> tuple[NetworkResult, ...]:
    subjects = plan.subjects(side)
    failed = {s: place.reason for s in subjects if isinstance(place := pythons[s.network], Missing)}
    artifacts = _compiled(plan, side, failed, step)
    able = [subject for subject in subjects if subject not in failed]

    def measure(subject: Subject, number: int) -> NetworkTimes:
        step(f"{subject.title}, {side}x{side}: round {number + 1} of {plan.rounds}")
        return _ask(plan, subject.network, pythons[subject.network], folder, artifacts.get(subject))

    taken = in_rounds(able, plan.rounds, measure)
    failed |= {able[index]: str(error) for index, error in taken.errors.items()}
    times = dict(zip(able, taken.results, strict=True))
    named = {_named(subject): times.get(subject, []) for subject in subjects}
    return results(side, named, {_named(subject): reason for subject, reason in failed.items()})


def _compiled(plan: RivalsPlan, side: int, failed: dict[Subject, str], step: Step) -> dict[Subject, Path]:
    """The artefact of each of ours; what cannot be compiled is added to `failed`."""
    paths: dict[Subject, Path] = {}
    for subject in plan.subjects(side):
        if subject.student is None:
            continue
        step(f"{subject.title}, {side}x{side}: compile")
        try:
            paths[subject] = for_here(plan, subject.student, subject.tile or (side, side)).path
        except EdgescopeError as error:
            failed[subject] = str(error)
    return paths


def for_here(plan: RivalsPlan, student: str, tile: tuple[int, int]) -> Artifact:
    """A student of ours with tiles of this size, for the target that was asked for, or the first that runs here."""
    reasons: list[str] = []
    for target in (plan.target,) if plan.target else targets():
        artifact = compile_artifact(student, target, PRECISION, tile, plan.folder / OURS)
        reason = backends.refusal(artifact.manifest.backend, artifact.manifest)
        if reason is None:
            return artifact
        reasons.append(f"{target}: {reason}")
    msg = f"No artefact of {student} runs here: {'; '.join(reasons) or 'compile is not installed'}"
    raise EdgescopeError(msg)


def name_of(student: str) -> str:
    """A bundled student's name, or that of a student's folder."""
    return Path(student).name or student


def _named(subject: Subject) -> Subject:
    """With the student's name in place of its folder."""
    return subject if subject.student is None else replace(subject, student=name_of(subject.student))


def _ask(plan: RivalsPlan, name: str, python: Path | Missing, folder: Path, artifact: Path | None) -> NetworkTimes:
    memory = max(psutil.virtual_memory().available // 10**6 - SPARED_MB, SPARED_MB)
    job = NetworkJob(
        network=name,
        frame=str(folder / FRAME),
        truth=str(folder / TRUTH),
        threads=plan.threads,
        repeats=plan.repeats,
        seconds=plan.seconds,
        memory_mb=memory,
        artifact=str(artifact.resolve()) if artifact else None,
        until=plan.until,
    )
    question, place = folder / "job.json", folder / "times.json"
    question.write_text(job.to_json(), encoding="utf-8")
    environment = programs.environment() | {"OMP_NUM_THREADS": str(plan.threads), "CUDA_VISIBLE_DEVICES": ""}
    command = [str(python), "-m", "benchmarks.rivals.measure", str(question), str(place)]
    programs.run_or_raise(command, timeout_s=PATIENCE_S, environment=environment)
    return NetworkTimes.from_json(place.read_text(encoding="utf-8"))
