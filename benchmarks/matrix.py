"""Students x targets x precisions x tiles x threads: compiled, measured, and gone on with where a run was interrupted.

An artefact is compiled by a process of its own, for compiling needs torch and measuring must not have it loaded. Then
all cells of one tile size and number of threads are measured together, so that their speeds are compared in interleaved
rounds, each measurement in a fresh process. What is finished is kept (see kept.py), every cell leaves a report of its
own, and one that fails leaves its error while the rest goes on.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import distill
from runtime import __version__
from runtime.artifact import Artifact, open_artifact
from runtime.atomic import make_folder, write_bytes
from runtime.errors import EdgescopeError, InputError
from runtime.extras import install
from runtime.lock import only_run
from runtime.records import OPTIONAL, Record

from . import campaign, source
from .fingerprint import fingerprint
from .kept import Kept, code_digest, digest, keeping
from .report import Data, Report, write_report

PRECISIONS = ("int8", "fp16", "fp32")
DESCRIPTION = "student.json"
REPORT, SUMMARY, CELLS, ARTIFACTS, KEPT = "report.json", "matrix.json", "cells", "artifacts", "kept"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Skip(Record):
    """Cells that are left out, and why: those that agree in every field that is given."""

    reason: str
    student: str | None = field(default=None, metadata=OPTIONAL)
    target: str | None = field(default=None, metadata=OPTIONAL)
    precision: str | None = field(default=None, metadata=OPTIONAL)
    tile: int | None = field(default=None, metadata=OPTIONAL)
    threads: int | None = field(default=None, metadata=OPTIONAL)

    def covers(self, cell: "Cell") -> bool:
        """Whether a cell is left out by this."""
        wanted = {name: value for name, value in asdict(self).items() if name != "reason" and value is not None}
        return all(asdict(cell)[name] == value for name, value in wanted.items())


@dataclass(frozen=True)
class Matrix(Record):
    """MATRIX.toml. Paths are relative to where the command is run, as they are on the command line."""

    data: str
    students: tuple[str, ...]
    targets: tuple[str, ...]
    precisions: tuple[str, ...]
    tiles: tuple[int, ...]
    threads: tuple[int, ...]
    labels: str | None = field(default=None, metadata=OPTIONAL)
    limit: int | None = field(default=None, metadata=OPTIONAL)
    rounds: int = field(default=3, metadata=OPTIONAL)
    repeats: int = field(default=50, metadata=OPTIONAL)
    throughput: bool = field(default=False, metadata=OPTIONAL)
    sustain_minutes: float | None = field(default=None, metadata=OPTIONAL)
    skip: tuple[Skip, ...] = field(default=(), metadata=OPTIONAL)

    def __post_init__(self) -> None:
        known = {"students": None, "targets": _targets(), "precisions": PRECISIONS}
        for name in ("students", "targets", "precisions", "tiles", "threads"):
            _check_list(name, getattr(self, name), known.get(name))
        for student in self.students:
            student_folder(student)
        for name, least in (("tiles", 32), ("threads", 1)):
            if wrong := [value for value in getattr(self, name) if not least <= value <= 8192]:
                msg = f"Field {name} holds {wrong[0]}; it must be from {least} to 8192."
                raise InputError(msg)
        for name, least in (("limit", 1), ("rounds", 1), ("repeats", 2), ("sustain_minutes", 0.05)):
            value = getattr(self, name)
            if value is not None and value < least:
                msg = f"Field {name} is {value}; it must be {least:g} at least."
                raise InputError(msg)
        for number, skip in enumerate(self.skip):
            if not any(skip.covers(cell) for cell in self.cells()):
                msg = f"Field skip[{number}] covers no cell of this matrix ({skip.reason}); correct or remove it."
                raise InputError(msg)

    def cells(self) -> Iterator["Cell"]:
        """All of them, in the order of the file."""
        for values in product(self.students, self.targets, self.precisions, self.tiles, self.threads):
            yield Cell(*values)


@dataclass(frozen=True)
class Cell:
    """One combination."""

    student: str
    target: str
    precision: str
    tile: int
    threads: int

    @property
    def name(self) -> str:
        """Of its report."""
        student = re.sub(r"[^A-Za-z0-9_.-]", "_", student_folder(self.student).name)
        return f"{student}-{self.target}-{self.precision}-{self.tile}px-{self.threads}t"


@dataclass(frozen=True)
class Outcome(Record):
    """What became of a cell: "done", "skipped" (left out or refused, by the reason) or "failed" (by the error)."""

    cell: str
    state: str
    reason: str | None
    report: str | None


@dataclass(frozen=True)
class Summary(Record):
    """All cells, in the order of the file."""

    schema_version: int
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The cells with an error."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == "failed")


@dataclass(frozen=True)
class Compiled:
    """An artefact, or why there is none. refused: it cannot be, which is no failure."""

    artifact: Artifact | None
    reason: str | None = None
    refused: bool = False


Step = Callable[[str], None]
Key = tuple[str, str, str, int]  # student, target, precision, tile: what an artefact depends on


def read_matrix(path: Path) -> Matrix:
    """Read MATRIX.toml; InputError names the file and the field that does not fit."""
    if sys.version_info < (3, 11):
        msg = "A matrix is TOML, which needs Python 3.11; on a device, use `benchmarks run`."
        raise EdgescopeError(msg)
    import tomllib

    try:
        return Matrix.from_dict(_with_lists(tomllib.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError as error:
        msg = f"There is no matrix {str(path)!r}; benchmarks/matrix.toml is an example."
        raise InputError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{str(path)!r} is no TOML: {error}."
        raise InputError(msg) from error
    except InputError as error:
        msg = f"{str(path)!r}: {error}"
        raise InputError(msg) from error


def run(matrix: Matrix, out: Path, step: Step) -> tuple[Summary, Report | None]:
    """Compile and measure what is not done yet, and write a report for each cell, one of all, and a summary.

    step : told what is done next; see `steps`. The report of all is None where no cell could be measured."""
    if not find_spec("compile"):
        msg = f"compile is not installed, and a matrix compiles its artefacts; run: {install('compile')}"
        raise EdgescopeError(msg)
    with only_run(out):
        return _run(matrix, out, step)


def _run(matrix: Matrix, out: Path, step: Step) -> tuple[Summary, Report | None]:
    make_folder(out)
    skipped = {cell: skip.reason for cell in matrix.cells() for skip in matrix.skip if skip.covers(cell)}
    cells = [cell for cell in matrix.cells() if cell not in skipped]
    compiled = {key: _compiled(key, out / ARTIFACTS, step) for key in dict.fromkeys(map(_key, cells))}
    outcomes = {cell: Outcome(cell.name, "skipped", reason, None) for cell, reason in skipped.items()}
    reports: dict[Cell, Report] = {}
    images = _images(matrix, [made.artifact for made in compiled.values() if made.artifact])
    for group in _groups(cells):
        ready = {cell: made for cell in group if (made := compiled[_key(cell)].artifact)}
        reports |= _measured(matrix, ready, images, out / KEPT, step)
    for cell in cells:
        outcomes[cell] = _outcome(cell, compiled[_key(cell)], reports.get(cell), out)
    summary = Summary(SCHEMA_VERSION, tuple(outcomes[cell] for cell in matrix.cells()))
    write_bytes(out / SUMMARY, summary.to_json().encode())
    merged = merge(reports)
    if merged:
        write_report(out / REPORT, merged)
    return summary, merged


def steps(matrix: Matrix) -> int:
    """How many steps `run` tells at most."""
    cells = [cell for cell in matrix.cells() if not any(skip.covers(cell) for skip in matrix.skip)]
    each = 1 + matrix.rounds + matrix.throughput + (matrix.sustain_minutes is not None)
    return len(set(map(_key, cells))) + len(cells) * each


def merge(reports: Mapping[Cell, Report]) -> Report | None:
    """One report of all cells, each row by its cell's name; None where there is none.

    Its machine and images are one by construction. The noisiest calibration speaks for all."""
    if not reports:
        return None
    noise = [report.noise for report in reports.values() if report.noise]
    first = next(iter(reports.values()))
    return replace(
        first,
        protocol=replace(first.protocol, threads=None, reference=None),
        noise=max(noise, key=lambda found: len(found.reasons), default=None),
        rows=tuple(replace(row, name=cell.name) for cell, report in reports.items() for row in report.rows),
        digest=None,
    ).sealed()


# Compiling: a command, for it needs torch.


def _compiled(key: Key, folder: Path, step: Step) -> Compiled:
    """The artefact of these students' files and this code; an artefact that is there is complete."""
    student, target, precision, tile = key
    place = student_folder(student)
    step(f"compile {place.name} for {target} in {precision}, tile {tile}")
    weights = {path.name: digest(path.read_bytes().hex()) for path in sorted(place.iterdir()) if path.is_file()}
    made_of = digest([weights, code_digest("compile", "distill", "runtime"), __version__])
    out = folder / f"{place.name}-{tile}px-{made_of[:12]}"
    path = next(iter(out.glob(f"*-{target}-{precision}/manifest.json")), None)
    if not path:
        command = [sys.executable, "-m", "compile", "--target", target, "--student", student, "--precision", precision]
        ended = _call([*command, "--tile", str(tile), "--out", str(out)])
        if ended.returncode != 0:
            said = [line for line in ended.stderr.splitlines() if line.startswith("error: ")] or ["no message"]
            return Compiled(None, said[-1].removeprefix("error: "), refused=ended.returncode == 2)
        path = next(iter(out.glob(f"*-{target}-{precision}/manifest.json")))
    return Compiled(open_artifact(path.parent))


def _call(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def student_folder(student: str) -> Path:
    """The folder of a bundled student or of one's own; InputError where there is none."""
    bundled = Path(distill.__file__).parent / "pretrained"
    for folder in (bundled / student, Path(student).expanduser()):
        if (folder / DESCRIPTION).is_file():
            return folder.resolve()
    names = ", ".join(sorted(path.parent.name for path in bundled.glob(f"*/{DESCRIPTION}"))) or "none"
    msg = f"Student {student!r} is neither bundled ({names}) nor a folder with {DESCRIPTION}."
    raise InputError(msg)


def _targets() -> tuple[str, ...]:
    """The targets there are, by their files' names; none where compile is not installed."""
    found = find_spec("compile")
    places = found.submodule_search_locations if found else None
    files = (path for place in places or () for path in Path(place, "targets").glob("*.py"))
    return tuple(sorted(path.stem for path in files if path.stem != "__init__"))


# Measuring: all cells of one tile size and number of threads together.


def _images(matrix: Matrix, artifacts: Sequence[Artifact]) -> tuple[source.Source, Data] | None:
    """The same images for every cell: none that any of the students was trained on."""
    if not artifacts:
        return None
    manifests = [artifact.manifest for artifact in artifacts]
    trained_on = frozenset(frame for manifest in manifests for frame in manifest.lineage.trained_on)
    kinds = {manifest.accuracy.get("labels") for manifest in manifests}
    labels = matrix.labels or (kinds.pop() if len(kinds) == 1 else None)
    return source.from_data(matrix.data, labels, matrix.limit, trained_on)


def _measured(
    matrix: Matrix,
    ready: Mapping[Cell, Artifact],
    images: tuple[source.Source, Data] | None,
    folder: Path,
    step: Step,
) -> dict[Cell, Report]:
    """A report for each cell; its speed refers to the group's first, in the same rounds."""
    if not ready or not images:
        return {}
    where, data = images
    content = source.Content()
    for image in where:
        content.add(image)
    machine = fingerprint()
    libraries = {**machine.versions, **machine.drivers, "python": machine.python, "os": machine.os}
    context = {"code": code_digest("runtime"), "images": content.sha256(), "machine": machine.id, "with": libraries}
    plan = campaign.Plan(
        rounds=matrix.rounds,
        repeats=matrix.repeats,
        threads=next(iter(ready)).threads,
        throughput=matrix.throughput,
        sustain_minutes=matrix.sustain_minutes,
    )
    with keeping(Kept(folder, context)):
        report = campaign.run(list(ready.values()), where, data, plan, step)
    return {cell: replace(report, rows=(row,)) for cell, row in zip(ready, report.rows, strict=True)}


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells whose speeds are compared: of one tile size and number of threads."""
    groups: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.tile, cell.threads), []).append(cell)
    return list(groups.values())


def _outcome(cell: Cell, made: Compiled, report: Report | None, out: Path) -> Outcome:
    """Write the cell's report, if it has one, and say what became of it."""
    if not report:
        return Outcome(cell.name, "skipped" if made.refused else "failed", made.reason, None)
    place = f"{CELLS}/{cell.name}.json"
    write_report(out / place, report)
    (row,) = report.rows
    return Outcome(cell.name, "failed" if row.error else "done", row.error, place)


def _key(cell: Cell) -> Key:
    return cell.student, cell.target, cell.precision, cell.tile


def _check_list(name: str, values: Sequence[object], known: Sequence[str] | None) -> None:
    if not values or len(set(values)) < len(values):
        msg = f"Field {name} is {list(values)}; give one value at least, and none twice."
        raise InputError(msg)
    if wrong := [value for value in values if known is not None and value not in known]:
        there = ", ".join(known or ()) or "none: compile is not installed"
        msg = f"Field {name} holds {wrong[0]!r}; choose of {there}."
        raise InputError(msg)


def _with_lists(table: Mapping[str, Any]) -> dict[str, Any]:
    """`tiles = 256` is a list of one."""
    axes = ("students", "targets", "precisions", "tiles", "threads")
    return {
        name: [value] if name in axes and not isinstance(value, (list, dict)) else value
        for name, value in table.items()
    }
