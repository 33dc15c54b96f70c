"""The command `matrix`: students x targets x precisions x tiles x threads."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from runtime.errors import InputError

from . import matrix as flow
from .report import Report, Row

WIDTH = 140  # of the table, where the output is no terminal


def matrix(
    file: Annotated[Path, typer.Argument(metavar="MATRIX.toml", help="What to measure; see benchmarks/matrix.toml.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Artefacts, reports, and what an interrupted run left.")] = (
        Path("matrix")
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells, and measure none.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> int:
    """Compile and measure every combination; a run that was interrupted goes on where it stopped."""
    wanted = flow.read_matrix(file)
    if out.exists() and not out.is_dir():
        msg = f"{str(out)!r} is a file; give a folder."
        raise InputError(msg)
    if dry_run:
        for cell in wanted.cells():
            left_out = next((skip.reason for skip in wanted.skip if skip.covers(cell)), None)
            typer.echo(f"{cell.name}{f': left out, {left_out}' if left_out else ''}")
        return 0
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("matrix", total=flow.steps(wanted))
        summary, report = flow.run(wanted, out, lambda what: progress.update(task, advance=1, description=what))
    _show(summary, report, out)
    return 1 if summary.failed else 0


def _show(summary: flow.Summary, report: Report | None, out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    grid = Table("cell", "Dice", "p50 ms", "faster", "peak MB", "", box=None, pad_edge=False, header_style="bold")
    rows = {row.name: row for row in report.rows} if report else {}
    for outcome in summary.outcomes:
        reason = f"{outcome.state}: {outcome.reason}" if outcome.reason else ""
        grid.add_row(outcome.cell, *_figures(rows.get(outcome.cell)), reason)
    console.print(grid, markup=False)
    said = ["p50: of a tile; faster: than the first of the same tile size and threads, paired by round."]
    if report:
        said += report.warnings
        said.append(f"Reports: {out / flow.REPORT} of all, {out / flow.CELLS} of each.")
    console.print("\n".join(said), style="dim", markup=False, soft_wrap=True)


def _figures(row: Row | None) -> tuple[str, str, str, str]:
    dice = f"{row.quality.dice.mean:.4f}" if row and row.quality else "-"
    if not row or not row.timing or row.timing.tile_ms.p50 is None:
        return dice, "-", "-", "-"
    memory = f"{row.memory.peak_mb:.0f}" if row.memory else "-"
    return dice, f"{row.timing.tile_ms.p50:.1f}", f"{row.timing.speedup:.2f}x", memory
