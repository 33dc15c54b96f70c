"""The command `pareto`: Dice against latency of everything in some reports, as a figure for a document."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.atomic import write_bytes
from runtime.errors import InputError

from . import pareto_figure, table
from .report import read_report
from .rivals_record import read_comparison

FORMS = ("svg", "png")


def pareto(
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT...", help="Files written by `run --out`.")],
    out: Annotated[Path, typer.Option(metavar="F", help="The figure: F.svg or F.png.")],
    rivals: Annotated[
        Path | None, typer.Option(metavar="F", help="Written by `rivals --json`: their times as lines.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> int:
    """Draw Dice against the time of a tile, the Pareto front, and how long the networks of others take."""
    form = out.suffix.removeprefix(".").lower()
    if form not in FORMS or out.is_dir():
        msg = f"--out {str(out)!r} is no picture that can be written; give a file that ends in .svg or .png."
        raise InputError(msg)
    shown = table.entries([read_report(path) for path in reports])
    write_bytes(out, pareto_figure.draw(shown, read_comparison(rivals) if rivals else None, form))
    return 0
