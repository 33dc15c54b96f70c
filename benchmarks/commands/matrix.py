"""The command `matrix`: students x targets x precisions x tiles x threads."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.campaign import matrix as flow
from benchmarks.commands.options import progress, say, show_table
from benchmarks.report import table
from benchmarks.report.report import Report
from runtime.system.places import check_writable

LEFT_OUT = frozenset(
    {"data", "student", "target", "precision", "backend", "tile", "threads"}
)  # the cell's name says it


def matrix(
    file: Annotated[
        Path, typer.Argument(metavar="MATRIX.toml", help="What to measure. Example: benchmarks/matrix.toml.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for artefacts and reports.")] = (Path("matrix")),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the combinations without measuring.")] = False,
) -> int:
    """Compile and measure every combination. An interrupted run continues when called again."""
    chosen = flow.read_matrix(file)
    check_writable(out, "give another folder")
    if dry_run:
        say(f"{cell.name}{f': left out, {reason}' if reason else ''}" for cell, reason in chosen.all_cells().items())
        return 0
    with progress("matrix", flow.steps(chosen)) as step:
        summary, report = flow.matrix(chosen, out, step)
    _show(summary, report, out)
    return 1 if summary.failed else 0


def _show(summary: flow.Summary, report: Report | None, out: Path) -> None:
    entries = {entry.row.name: entry for entry in table.entries([report] if report else [])}
    columns = [one for one in table.columns(list(entries.values())) if one.title not in LEFT_OUT]
    lines: list[list[str]] = []
    for outcome in summary.outcomes:
        entry = entries.get(outcome.cell)
        figures = [column.cell(entry) if entry else table.MISSING for column in columns]
        lines.append([outcome.cell, *figures, f"{outcome.state}: {outcome.reason}" if outcome.reason else ""])
    show_table(["cell", *(column.title for column in columns), ""], lines)
    notes = ["faster: per frame, than the first of the same tile size and threads, paired by round."]
    if report:
        notes += [*report.warnings, f"Reports: {out / flow.REPORT} of all, {out / flow.CELLS} of each."]
    say(notes, style="dim")
