"""What several commands share: options, a progress bar on standard error, and tables on standard output."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from benchmarks.measures.figures import ENDS
from benchmarks.report.table import printable
from runtime.commands.output import told_each_minute

WIDTH = 160  # of a table, where the output is no terminal

Json = Annotated[Path | None, typer.Option("--json", metavar="F", help="Write the printed result as JSON.")]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", metavar="F", help="Write a Markdown table.")]
Reports = Annotated[list[Path], typer.Argument(metavar="REPORT...", help="Files written by `run --out`.")]
Artifacts = Annotated[
    list[str] | None,
    typer.Option(
        "--artifact", metavar="A...", help="Artefact folder or .zip, or a folder of artefacts; may be repeated."
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Number of threads. Default: the backend chooses.")
]

Diameter = Annotated[
    str | None,
    typer.Option(
        "--diameter", metavar="auto|PX|UMum|off", help="Size of the objects, as in `runtime predict`. Default: auto."
    ),
]
Until = Annotated[str, typer.Option("--until", metavar="END", help=f"The last step that is timed: {', '.join(ENDS)}.")]


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, or a line per minute without a terminal; call the result with the next step."""
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        told_each_minute(title, total) as tell,
    ):
        task = bar.add_task(title, total=total)

        def step(what: str) -> None:
            bar.update(task, advance=1, description=what or title)
            tell(what)

        yield step


GAP = 2  # columns of a terminal between those of a table


def show_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """A report's text is text: no markup, and no control characters. No figure is cut: what does not fit goes below.

    A table that is wider than the terminal is printed in parts, whose lines begin with the same number or name."""
    console = _console()
    rows = [[printable(cell) for cell in line] for line in lines]
    for number, part in enumerate(parts(head, rows, console.width)):
        if number:
            console.print()
        grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
        for column in part:
            grid.add_column(column[0], no_wrap=len(column[0]) <= console.width, overflow="fold")
        for cells in zip(*(column[1:] for column in part), strict=True):
            grid.add_row(*(Text(cell) for cell in cells))
        console.print(grid)


def parts(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[list[str]]]:
    """The columns, heading first, in as many parts as a terminal of this width needs, each begun by a row number."""
    columns = [[title, *(row[i] for row in rows)] for i, title in enumerate(head)]
    widths = [max(map(len, column)) for column in columns]
    if sum(widths) + GAP * len(widths) <= width + GAP or not rows:
        return [columns]
    key = ["#", *map(str, range(1, len(rows) + 1))]
    result, used = [[key]], len(key[-1])
    for column, needed in zip(columns, widths, strict=True):
        if used + GAP + needed > width and len(result[-1]) > 1:
            result.append([key])
            used = len(key[-1])
        result[-1].append(column)
        used += GAP + needed
    return result


def say(lines: Iterable[str], style: str | None = None) -> None:
    """Lines of text, however long they are."""
    console = _console()
    for line in lines:
        console.print(printable(line), style=style, markup=False, soft_wrap=True)


def show_markdown(text: str) -> None:
    """Drawn in a terminal, as it is elsewhere."""
    console = Console(highlight=False)
    console.print(Markdown(text) if console.is_terminal else text, markup=False, soft_wrap=True)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console
