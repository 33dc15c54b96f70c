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

Json = Annotated[Path | None, typer.Option("--json", metavar="F", help="Write what is printed, for machines.")]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", metavar="F", help="Write a Markdown table.")]
Reports = Annotated[list[Path], typer.Argument(metavar="REPORT...", help="Files written by `run --out`.")]
Artifacts = Annotated[
    list[str] | None,
    typer.Option("--artifact", metavar="A...", help="Artefacts: folders or .zip, or a folder of them."),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Threads; left out: the backend's choice.")
]

Diameter = Annotated[
    str | None,
    typer.Option(
        "--diameter", metavar="auto|PX|UMum|off", help="Of the objects, as `runtime predict` takes it (default: auto)."
    ),
]
Until = Annotated[str, typer.Option("--until", metavar="END", help=f"Where a timed frame ends: {', '.join(ENDS)}.")]


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error, or a line a minute where that is no terminal; what it yields is told what is next."""
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


def show_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """A report's text is text: no markup, and no control characters."""
    grid = Table(*head, box=None, pad_edge=False, header_style="bold")
    for line in lines:
        grid.add_row(*(Text(printable(cell)) for cell in line))
    _console().print(grid)


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
