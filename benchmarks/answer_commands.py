"""The commands that read reports: `compare` puts them side by side or guards against a worse one, `choose` answers."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.atomic import write_bytes
from runtime.errors import BudgetMissed, InputError

from . import absent, guard, page, table, wording
from . import choose as choosing
from .keeping_up import Demand
from .report import Report, read_report
from .requirements import Wanted

WIDTH = 160  # of the table, where the output is no terminal

Reports = Annotated[list[Path], typer.Argument(metavar="REPORT...", help="Files written by `run --out`.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="F", help="Write what is printed, for machines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]


def add_to(app: typer.Typer) -> None:
    """Give these commands to the command line."""
    for command in (compare, choose):
        app.command()(command)


def compare(
    reports: Reports,
    html: Annotated[Path | None, typer.Option(metavar="F", help="Write one self-contained page.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="F", help="Write a Markdown table.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="F", help="Write comma-separated values.")] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(metavar="TARGET:DEVICE", help="A row for this device even if it was not measured. Repeatable."),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="M:N[%],...", help="Of OLD NEW: fail if NEW is worse, e.g. latency:10%,dice:0.3."),
    ] = None,
    json_file: Json = None,
    debug: Debug = False,
) -> int:
    """Put reports of several machines side by side, or say whether a new one is worse than an old one."""
    limits = guard.parse_limits(fail_on) if fail_on is not None else None
    if limits is not None and len(reports) != 2:
        msg = f"--fail-on compares two reports, OLD and NEW, not {len(reports)}."
        raise InputError(msg)
    read = [read_report(path) for path in reports]
    missing = absent.absent(read, expect or ())
    shown = table.entries(read)
    findings = guard.compare(read[0], read[1], limits) if limits else []
    for path, text in ((html, page.render), (markdown, table.markdown), (csv, table.to_csv)):
        if path:
            write_bytes(path, text(shown, missing).encode())
    if limits is None:
        show(read, json_file, missing)
        return 0
    _show_findings(read, findings, json_file)
    if any(one.failed for one in findings):
        raise BudgetMissed(wording.of_failures(findings))
    return 0


def choose(
    reports: Reports,
    latency_ms: Annotated[float | None, typer.Option(metavar="MS", min=0, help="Longest time for a tile.")] = None,
    memory_mb: Annotated[float | None, typer.Option(metavar="MB", min=0, help="Most memory of the process.")] = None,
    min_dice: Annotated[float | None, typer.Option(metavar="D", help="Least Dice, 0 to 1.")] = None,
    camera: Annotated[
        str | None, typer.Option(metavar="HxW@RATE", help="Keep up with this camera, e.g. 2048x2048@40.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this device alone: its id, or a part of its name.")
    ] = None,
    percentile: Annotated[int, typer.Option(metavar="P", help="Of the latency: 50, 90, 95 or 99.")] = 95,
    frames: Annotated[bool, typer.Option("--frames", help="Latency of whole frames instead of tiles.")] = False,
    sure: Annotated[bool, typer.Option("--sure", help="Judge each figure at the bad end of its spread.")] = False,
    json_file: Json = None,
    debug: Debug = False,
) -> int:
    """Name the artefact to use, and the runner-up, with reasons; exit code 1 if nothing fits."""
    demand = Demand.parse(camera) if camera else None
    wanted = Wanted(latency_ms, memory_mb, min_dice, demand, percentile, frames, sure)
    answer = choosing.choose([read_report(path) for path in reports], wanted, device)
    _say(wording.of_answer(answer))
    if json_file:
        write_bytes(json_file, answer.to_json().encode())
    return 0 if answer.best else 1


def show(reports: Sequence[Report], json_file: Path | None, missing: Sequence[absent.Absent] = ()) -> None:
    """Print the table of the reports with its notes."""
    shown = table.entries(reports)
    head, *lines = table.cells(shown, missing)
    _print_table(head, lines)
    _say(table.notes(shown, missing), style="dim")
    if json_file:
        write_bytes(json_file, table.to_json(shown, missing).encode())


def _show_findings(read: Sequence[Report], findings: Sequence[guard.Finding], json_file: Path | None) -> None:
    old, new = read
    result = guard.Result(tuple(findings), tuple(guard.remarks(old, new)))
    _print_table(wording.HEAD, wording.of_findings(findings))
    _say(result.remarks, style="dim")
    if json_file:
        write_bytes(json_file, result.to_json().encode())


def _print_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """A report's text is text: no markup, and no control characters."""
    grid = Table(*head, box=None, pad_edge=False, header_style="bold")
    for line in lines:
        grid.add_row(*(Text(table.printable(cell)) for cell in line))
    _console().print(grid)


def _say(lines: Iterable[str], style: str | None = None) -> None:
    console = _console()
    for line in lines:
        console.print(table.printable(line), style=style, markup=False, soft_wrap=True)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console
