"""How long the networks take that people would use in place of ours: the same frames, threads, machine and minutes.

Each rival has an environment of its own, FOLDER/NAME, made when it is first asked for; one that cannot be installed or
does not run is a row that says why. The rounds go over all networks before they start again, a fresh process each, and
ratios are paired by round, so that whatever disturbs a shared machine disturbs all of them alike.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from distill import datasets
from runtime import __version__, extras
from runtime.artifact import MANIFEST
from runtime.atomic import make_folder, write_bytes
from runtime.errors import EdgescopeError, InputError
from runtime.manifest import Normalization
from runtime.normalize import normalize

from . import rival_networks
from .fingerprint import fingerprint
from .noise import Noise, calibrate, judge
from .rival_networks import OURS, WHOLE_FRAME, Network, Question
from .rival_networks.measure import Answer
from .rivals_record import SCHEMA_VERSION, Comparison, Result, Subject, results, size_of

ROOT = Path(__file__).resolve().parent.parent
PRETRAINED = ROOT / "distill" / "pretrained"  # where the bundled students lie
WHOLE = "frame"  # a tile that is the frame
FRAME_TILES = (WHOLE, "704x2048", "256")  # the second: a third of the largest frame, with overlap, and its memory
DEFAULT_STUDENT = "nuclei-fast"  # the one that `compile` takes
SPARED_MB = 1500  # of the memory that is available, for all else on this machine
PATIENCE_S = 1800
SAID = 300  # characters of what a failed installation said


@dataclass(frozen=True)
class Plan:
    """What the caller asked for.

    folder : of the environments and our artefacts
    networks : the rivals
    students : of ours, names or folders; ratios refer to the first
    frame_tiles : the tiles that whole frames are segmented with: "frame", "256", "512x2048"; none, no whole frames
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

    def subjects(self, side: int) -> list[Subject]:
        """What is timed at this size, in the order of the turns: the first student's network first."""
        ours = [Subject(OURS, student) for student in self.students]
        tiles = dict.fromkeys((side, side) if tile == WHOLE else tile_sides(tile) for tile in self.frame_tiles)
        fitting = [tile for tile in tiles if max(tile) <= side]
        frames = [Subject(WHOLE_FRAME, student, tile) for student in self.students for tile in fitting]
        return [*ours, *frames, *(Subject(name) for name in self.networks)]


def tile_sides(tile: str) -> tuple[int, int]:
    """Height and width of "256" or "512x2048"; InputError for what is neither."""
    height, by, width = tile.partition("x")
    sides = (height, width if by else height)
    if not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        msg = f"Tile {tile!r} of a whole frame is none; write frame, 256 or 512x2048."
        raise InputError(msg)
    return int(sides[0]), int(sides[1])


Step = Callable[[str], None]


def run(plan: Plan, step: Step, keep: Callable[[Comparison], None]) -> Comparison:
    """Install what is missing, then measure size by size.

    step : told what is done next; keep : given what is known after each size"""
    before = calibrate()
    names = dict.fromkeys(subject.network for side in plan.sides for subject in plan.subjects(side))
    pythons = {name: _python(name, plan.folder, step) for name in names}
    found = _comparison(plan, [], None)
    for side in plan.sides:
        measured = [*found.results, *_one_size(plan, side, pythons, step)]
        found = _comparison(plan, measured, judge(before, calibrate()))
        keep(found)
    return found


def steps(plan: Plan) -> int:
    """How many steps `run` tells at most."""
    return len(plan.networks) + sum(
        sum(subject.student is not None for subject in subjects) + len(subjects) * plan.rounds
        for subjects in map(plan.subjects, plan.sides)
    )


def _comparison(plan: Plan, found: Sequence[Result], noise: Noise | None) -> Comparison:
    return Comparison(
        schema_version=SCHEMA_VERSION,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edgescope=__version__,
        device=fingerprint(),
        noise=noise,
        data=_data(plan.sides[0]).replace(str(plan.sides[0]), "SIDE"),
        threads=plan.threads,
        rounds=plan.rounds,
        results=tuple(found),
        students=tuple(map(name_of, plan.students)),
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


def _one_size(plan: Plan, side: int, pythons: Mapping[str, Path | Missing], step: Step) -> tuple[Result, ...]:
    subjects = plan.subjects(side)
    failed = {s: python.reason for s in subjects if isinstance(python := pythons[s.network], Missing)}
    answers: dict[Subject, list[Answer]] = {subject: [] for subject in subjects}
    artifacts = _compiled(plan, side, failed, step)
    with TemporaryDirectory(prefix="edgescope-rivals-") as folder:
        frames = _write_frames(side, Path(folder))
        for number in range(plan.rounds):
            for subject, python in ((s, pythons[s.network]) for s in subjects):
                step(f"{subject.title}, {side}x{side}: round {number + 1} of {plan.rounds}")
                if subject in failed or isinstance(python, Missing):
                    continue
                try:
                    frame = frames[subject.network == WHOLE_FRAME]
                    answers[subject].append(_ask(plan, subject.network, python, frame, artifacts.get(subject)))
                except EdgescopeError as error:
                    failed[subject] = str(error)
    named = {_named(subject): given for subject, given in answers.items()}
    return results(side, named, {_named(subject): reason for subject, reason in failed.items()})


def _write_frames(side: int, folder: Path) -> dict[bool, Path]:
    """The same frame twice: normalised, for networks (False), and as a camera's file, for WHOLE_FRAME (True)."""
    tifffile = extras.load("tifffile", extra="io")
    frame = datasets.open(_data(side))[0].frame.astype(np.uint16)
    array, file = folder / "frame.npy", folder / "frame.tif"
    np.save(array, normalize(frame, Normalization()))
    tifffile.imwrite(file, frame, photometric="minisblack")
    return {False: array, True: file}


def _compiled(plan: Plan, side: int, failed: dict[Subject, str], step: Step) -> dict[Subject, Path]:
    """The artefact of each of ours; what cannot be compiled is added to `failed`."""
    found: dict[Subject, Path] = {}
    for subject in plan.subjects(side):
        if subject.student is None:
            continue
        step(f"{subject.title}, {side}x{side}: compile")
        try:
            found[subject] = _ours(plan, subject.student, subject.tile or (side, side))
        except EdgescopeError as error:
            failed[subject] = str(error)
    return found


def _ours(plan: Plan, student: str, tile: tuple[int, int]) -> Path:
    """A student of ours with tiles of this size, compiled where it is not yet: by a command, for it needs torch."""
    folder = plan.folder / OURS / f"{name_of(student)}-{_state(student)}-{size_of(tile)}"
    found = next(folder.glob(f"*/{MANIFEST}"), None)
    if not found:
        command = [sys.executable, "-m", "compile", "--target", "intel", "--student", student]
        _do([*command, "--precision", "int8", "--tile", size_of(tile), "--out", str(folder)], env=_environment())
        found = next(folder.glob(f"*/{MANIFEST}"))
    return found.parent


def name_of(student: str) -> str:
    """A bundled student's name, or that of a student's folder."""
    return Path(student).name or student


def _state(student: str) -> str:
    """A few digits that change when the student is trained again, so that no old artefact passes for it."""
    folder = Path(student) if Path(student).is_dir() else PRETRAINED / student
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*")):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _named(subject: Subject) -> Subject:
    """With the student's name in place of its folder."""
    return subject if subject.student is None else replace(subject, student=name_of(subject.student))


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
