"""`python -m compile.survey`: every student x target x precision, compiled and measured, as one table.

It answers for all students at once what `python -m compile` prints for one: what is lost, who agrees with whom, what
runs in int8, what it weighs and what it takes to build. What a target refuses stands in the table with its reason.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from compile import targets
from runtime import atomic, command_line
from runtime.errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distill.student import Student
    from runtime.artifact import Artifact

PRECISIONS = ("int8", "fp16", "fp32")
COLUMNS = (
    "student", "target", "precision", "Dice", "drop, points", "agreement with the reference", "with other targets",
    "int8 convolutions", "MB", "build, s",
)  # fmt: skip
LIBRARIES = ("openvino", "ai-edge-litert", "onnxruntime")
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Row:
    """One artefact, or why there is none.

    agreement : mask Dice with the reference on the probes; others : the least with another target, on the images
    seconds : of the lowering to this target alone; export, accuracy and probes are shared by the targets
    """

    student: str
    target: str
    precision: str
    refused: str | None = None
    dice: float | None = None
    drop_points: float | None = None
    agreement: float | None = None
    others: float | None = None
    int8: int | None = None
    convolutions: int | None = None
    megabytes: float | None = None
    seconds: float | None = None


@app.command()
def survey_students(
    student: Annotated[list[str], typer.Option(help="A bundled student's name, or a folder; may be repeated.")],
    validate: Annotated[str, typer.Option(help="Labelled data to measure on, NAME:PATH.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="F.md", help="Where the table goes as Markdown.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="F", help="The rows, for machines.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compile students for every target in every precision, and print what became of them."""
    console = Console(stderr=True)
    with console.status("loading") as status:
        from distill import student as students

        loaded = [students.load(name) for name in student]
        rows = [row for item in loaded for row in survey(item, validate or None, step=status.update)]
    table = to_markdown(rows, student, validate or None)
    typer.echo(table)
    if out:
        atomic.write_bytes(out, table.encode())
    if json_file:
        atomic.write_bytes(json_file, (json.dumps([asdict(row) for row in rows], indent=2) + "\n").encode())


def survey(student: Student, validate: str | None = None, step: Any = lambda what: None) -> Iterator[Row]:
    """A row for every target and precision of one student; the artefacts themselves are not kept."""
    for precision in PRECISIONS:
        step(f"{student.spec.name}, {precision}")
        yield from _rows(student, precision, validate)


def _rows(student: Student, precision: str, validate: str | None) -> Iterator[Row]:
    """All targets in one go, so that they are compared with each other; where that fails, each for itself."""
    try:
        yield from _together(student, tuple(targets.names()), precision, validate)
    except EdgescopeError:
        for target in targets.names():
            try:
                yield from _together(student, (target,), precision, validate)
            except EdgescopeError as error:
                yield Row(student.spec.name, target, precision, refused=str(error))


def _together(student: Student, names: tuple[str, ...], precision: str, validate: str | None) -> list[Row]:
    from compile.build import Request, build

    clock = Clock()
    request = Request(names, precision, student.spec.tile, validate)
    with tempfile.TemporaryDirectory(prefix="edgescope-") as folder:
        made = build(student, request, Path(folder), clock)
    return [_measured(artifact, clock.seconds(f"lower to {artifact.manifest.target}")) for artifact in made]


def _measured(artifact: Artifact, seconds: float) -> Row:
    manifest = artifact.manifest
    accuracy: dict[str, Any] = dict(manifest.accuracy)
    peers: dict[str, Any] = dict(manifest.agreement)
    others = [found["images_mask_dice"] for found in peers.values() if "images_mask_dice" in found]
    operators: dict[str, Any] = dict(manifest.operators)
    return Row(
        manifest.student,
        manifest.target,
        manifest.precision,
        dice=accuracy["dice_mean"],
        drop_points=accuracy["drop_points"],
        agreement=peers["reference"]["mask_dice"],
        others=min(others, default=None),
        int8=operators["int8_convolutions"],
        convolutions=operators["convolutions"],
        megabytes=artifact.size_bytes / 1e6,
        seconds=seconds,
    )


class Clock:
    """Takes the time between one step and the next."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, float]] = []

    def __call__(self, what: str) -> None:
        """A step begins, and the one before it has ended."""
        self._steps.append((what, perf_counter()))

    def seconds(self, what: str) -> float:
        """How long a step took."""
        for (name, start), (_, stop) in zip(self._steps, self._steps[1:], strict=False):
            if name == what:
                return stop - start
        msg = f"no step {what} has ended"
        raise KeyError(msg)


def to_markdown(rows: Sequence[Row], given: Sequence[str], validate: str | None) -> str:
    """The table, what was measured on, and the reasons of what is missing. given : the students, as in the call."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * 3}{'---:|' * (len(COLUMNS) - 3)}"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    refused = [f"- {row.student}, {row.target}, {row.precision}: {row.refused}" for row in rows if row.refused]
    head = [
        "# Students, targets, precisions",
        "",
        f"By `{_command(given)}`.",
        "",
        hardware(),
        "",
        _protocol(validate),
        "",
    ]
    return "\n".join([*head, *lines, *(("", *refused) if refused else ()), ""])


def _command(given: Sequence[str]) -> str:
    return " ".join(["python -m compile.survey", *(f"--student {name}" for name in given)])


def _cells(row: Row) -> tuple[str, ...]:
    def cell(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before a nought

    return (
        row.student, row.target, f"{row.precision}, refused" if row.refused else row.precision, cell(row.dice, 4),
        cell(row.drop_points, 2), cell(row.agreement, 4), cell(row.others, 4),
        "-" if row.int8 is None else f"{row.int8}/{row.convolutions}", cell(row.megabytes, 2), cell(row.seconds, 1),
    )  # fmt: skip


def hardware() -> str:
    """What it was measured on, and with which libraries, in a sentence."""
    from runtime.processor import cpu_flags, cpu_model, usable_cores

    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"Measured on {usable_cores()} core(s) of {cpu_model()} ({' '.join(cpu_flags())}), with {libraries}."


def _protocol(validate: str | None) -> str:
    data = f"on {validate.partition(':')[0]} images" if validate else "on the tiles that each student carries"
    return (
        f"Dice {data}, through the runtime; drop: points below the fp32 student. Agreement: mask Dice on the probes "
        "with the reference, and the least with another target on those images. Build: the lowering to that target; "
        "export and proof are shared. A dash under other targets: together they were refused, so "
        "each was built for itself. A jetson bundle was run by onnxruntime on a CPU; no engine was built."
    )


if __name__ == "__main__":
    sys.exit(command_line.run(lambda: app, "compile.survey", "compile", sys.argv[1:]))
