"""Students x targets x precisions x tiles x threads: compiled, measured, and resumed where a run was interrupted.

All cells of one tile size and number of threads are measured together, so that their speeds are compared in interleaved
rounds, each measurement in a fresh process. What is finished is kept (see measures/kept.py), every cell leaves a report
of its own, and one that fails leaves its error while the rest goes on.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.campaign import campaign
from benchmarks.host.fingerprint import fingerprint
from benchmarks.inputs.compiled import check_compiler, code_digest, compile_artifact, student_folder, targets
from benchmarks.inputs.source import Content, Data, ImageSource, Selection
from benchmarks.measures.figures import OBJECTS, check_until
from benchmarks.measures.kept import Kept, keeping
from benchmarks.report.files import write_report
from benchmarks.report.report import Report
from runtime.artifact.artifact import Artifact
from runtime.errors import EdgescopeError, InputError
from runtime.execution import Execution
from runtime.records import OPTIONAL, Record
from runtime.system.atomic import make_folder, write_bytes
from runtime.system.lock import only_run

PRECISIONS = ("int8", "fp16", "fp32")
AXES = ("students", "targets", "precisions", "tiles", "threads")
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
        fields = {name: value for name, value in asdict(self).items() if name != "reason" and value is not None}
        return all(asdict(cell)[name] == value for name, value in fields.items())


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
    until: str = field(default=OBJECTS, metadata=OPTIONAL)
    diameter: str | None = field(default=None, metadata=OPTIONAL)
    skip: tuple[Skip, ...] = field(default=(), metadata=OPTIONAL)

    def __post_init__(self) -> None:
        check_until(self.until)
        names = {"targets": targets(), "precisions": PRECISIONS}
        for name in AXES:
            _check_list(name, getattr(self, name), names.get(name))
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
            if not any(skip.covers(cell) for cell in self.all_cells()):
                msg = f"Field skip[{number}] covers no cell of this matrix ({skip.reason}); correct or remove it."
                raise InputError(msg)

    def all_cells(self) -> dict["Cell", str | None]:
        """Every cell in the order of the file, and why it is left out; None where it is not."""
        every = (Cell(*values) for values in product(*(getattr(self, axis) for axis in AXES)))
        return {cell: next((skip.reason for skip in self.skip if skip.covers(cell)), None) for cell in every}

    def cells(self) -> list["Cell"]:
        """Those that are measured."""
        return [cell for cell, reason in self.all_cells().items() if reason is None]


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

    @property
    def key(self) -> "Key":
        """What its artefact depends on."""
        return self.student, self.target, self.precision, self.tile


@dataclass(frozen=True)
class CellOutcome(Record):
    """What became of a cell: "done", "skipped" (left out or refused, by the reason) or "failed" (by the error)."""

    cell: str
    state: str
    reason: str | None
    report: str | None


@dataclass(frozen=True)
class Summary(Record):
    """All cells, in the order of the file."""

    schema_version: int
    outcomes: tuple[CellOutcome, ...]

    @property
    def failed(self) -> tuple[CellOutcome, ...]:
        """The cells with an error."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == "failed")


Step = Callable[[str], None]
Key = tuple[str, str, str, int]  # student, target, precision, tile
Made = Artifact | EdgescopeError  # an artefact, or why there is none: an InputError is a refusal, and no failure


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


def matrix(cells: Matrix | Path, out: Path, step: Step = lambda what: None) -> tuple[Summary, Report | None]:
    """Compile and measure what is not done yet, and write a report for each cell, one of all, and a summary.

    cells : the matrix, or the file to read it from
    out : a folder for artefacts, reports, and what an interrupted run leaves
    step : told what is done next; see `steps`
    Returns what became of every cell, and the report of all; None where no cell could be measured. InputError for a
    wrong file, EdgescopeError where compile is not installed.
    """
    check_compiler()
    chosen = read_matrix(cells) if isinstance(cells, Path) else cells
    with only_run(out):
        return _run(chosen, out, step)


def steps(matrix: Matrix) -> int:
    """How many steps `matrix` tells at most."""
    cells = matrix.cells()
    each = 1 + matrix.rounds + matrix.throughput + (matrix.sustain_minutes is not None)
    return len({cell.key for cell in cells}) + len(cells) * each


def _run(matrix: Matrix, out: Path, step: Step) -> tuple[Summary, Report | None]:
    make_folder(out)
    cells = matrix.cells()
    made = {key: make(key, out / ARTIFACTS, step) for key in dict.fromkeys(cell.key for cell in cells)}
    reports: dict[Cell, Report] = {}
    if artifacts := [one for one in made.values() if isinstance(one, Artifact)]:
        images = Selection(matrix.data, labels=matrix.labels, limit=matrix.limit).open(artifacts)
        for group in groups(cells):
            ready = {cell: one for cell in group if isinstance(one := made[cell.key], Artifact)}
            reports |= _measured(matrix, ready, images, out / KEPT, step)
    outcomes = [
        CellOutcome(cell.name, "skipped", reason, None)
        if reason
        else _outcome(cell, made[cell.key], reports.get(cell), out)
        for cell, reason in matrix.all_cells().items()
    ]
    summary = Summary(SCHEMA_VERSION, tuple(outcomes))
    write_bytes(out / SUMMARY, summary.to_json().encode())
    merged = merge(reports)
    if merged:
        write_report(out / REPORT, merged)
    return summary, merged


def make(key: Key, folder: Path, step: Step) -> Made:
    """The artefact of a cell, or why there is none."""
    student, target, precision, tile = key
    step(f"compile {student_folder(student).name} for {target} in {precision}, tile {tile}")
    try:
        return compile_artifact(student, target, precision, (tile, tile), folder)
    except EdgescopeError as error:
        return error


def _measured(
    matrix: Matrix, ready: Mapping[Cell, Artifact], images: tuple[ImageSource, Data], folder: Path, step: Step
) -> dict[Cell, Report]:
    """A report for each cell; its speed refers to the group's first, in the same rounds."""
    if not ready:
        return {}
    source, data = images
    content = Content()
    for image in source:
        content.add(image)
    machine = fingerprint()
    libraries = {**machine.versions, **machine.drivers, "python": machine.python, "os": machine.os}
    context = {"code": code_digest("runtime"), "images": content.sha256(), "machine": machine.id, "with": libraries}
    plan = campaign.RunPlan(
        rounds=matrix.rounds,
        repeats=matrix.repeats,
        execution=Execution(threads=next(iter(ready)).threads),
        throughput=matrix.throughput,
        sustain_minutes=matrix.sustain_minutes,
        until=matrix.until,
        diameter=matrix.diameter,
    )
    with keeping(Kept(folder, context)):
        report = campaign.measure(list(ready.values()), source, data, plan, step)
    return {cell: replace(report, rows=(row,)) for cell, row in zip(ready, report.rows, strict=True)}


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells whose speeds are compared: of one tile size and number of threads."""
    grouped: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        grouped.setdefault((cell.tile, cell.threads), []).append(cell)
    return list(grouped.values())


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
        noise=max(noise, key=lambda check: len(check.reasons), default=None),
        rows=tuple(replace(row, name=cell.name) for cell, report in reports.items() for row in report.rows),
        digest=None,
    ).sealed()


def _outcome(cell: Cell, made: Made, report: Report | None, out: Path) -> CellOutcome:
    """Write the cell's report, if it has one, and say what became of it."""
    if not report:
        return CellOutcome(cell.name, "skipped" if isinstance(made, InputError) else "failed", str(made), None)
    place = f"{CELLS}/{cell.name}.json"
    write_report(out / place, report)
    (row,) = report.rows
    return CellOutcome(cell.name, "failed" if row.error else "done", row.error, place)


def _check_list(name: str, values: Sequence[object], choices: Sequence[str] | None) -> None:
    if not values or len(set(values)) < len(values):
        msg = f"Field {name} is {list(values)}; give one value at least, and none twice."
        raise InputError(msg)
    if wrong := [value for value in values if choices is not None and value not in choices]:
        listed = ", ".join(choices or ()) or "none: compile is not installed"
        msg = f"Field {name} holds {wrong[0]!r}; choose of {listed}."
        raise InputError(msg)


def _with_lists(table: Mapping[str, Any]) -> dict[str, Any]:
    """`tiles = 256` is a list of one."""
    return {
        name: [value] if name in AXES and not isinstance(value, (list, dict)) else value
        for name, value in table.items()
    }
