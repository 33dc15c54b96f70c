"""`python -m distill study CONFIG.toml`: the controlled comparison, as one table and one figure."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from runtime.atomic import write_bytes
from runtime.errors import InputError

from . import config as configuration
from .console import log_to_stderr, show_check, stoppable, trainer_libraries

if TYPE_CHECKING:
    from .config import Config

RUNS = Path("runs")
WIDTH = 190  # of the table at least: a narrow terminal may wrap it, but no figure is cut

log = logging.getLogger(__name__)

Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]


def study(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to compare; see configs/.")],
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Seeds of every row; left out: study.seeds.")] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting, e.g. float.steps=500."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The study's folder; left out: runs/CONFIG's name.")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings side by side.")] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="Open every file, say what would be trained, and train nothing.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="F", help="Write what is printed, for machines.")
    ] = None,
    debug: Debug = False,
) -> int:
    """Compare distillation with its controls, row by row; run again to go on."""
    settings = configuration.load(config, override or ())
    if seeds is not None:
        if seeds < 1:
            msg = f"--seeds is {seeds}; give at least 1, and 3 for a spread that means something."
            raise InputError(msg)
        settings = replace(settings, study=replace(settings.study, seeds=seeds))
    folder = out or RUNS / config.stem
    with trainer_libraries():
        from .devices import check_trainer
        from .study.check import examine
        from .study.flow import study as run
    examined = examine(settings, folder)
    if check:
        return show_check(examined, json_file)
    examined.raise_problems()
    check_trainer(settings.trainer)
    with log_to_stderr(), stoppable(), _progress(settings, folder) as step:
        found = run(settings, folder, workers, step)
    _show(found, folder)
    if json_file:
        write_bytes(json_file, (json.dumps(found, indent=1) + "\n").encode())
    return 0


@contextmanager
def _progress(config: "Config", out: Path) -> Iterator[Callable[[str], None]]:
    """A bar over the trainings on standard error where that is a terminal, else a line each."""
    from .study.plan import plan

    total = len(plan(config, out).jobs)
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("study", total=total)

        def step(name: str) -> None:
            bar.update(task, advance=1, description=name)
            log.info("done: %s", name)

        yield step


def _show(found: dict[str, Any], folder: Path) -> None:
    from .study.report import HEAD, rows_of

    console = Console(highlight=False, soft_wrap=True)
    console.print(found["title"], style="bold", markup=False)
    if found["headroom"]:
        console.print(found["headroom"], markup=False)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title in HEAD:
        grid.add_column(title, justify="left" if title == HEAD[0] else "right", no_wrap=True)
    for row in rows_of(found):
        grid.add_row(*row)
    Console(width=max(console.width, WIDTH), highlight=False, markup=False).print(grid)
    console.print(f"written: {folder / 'study.json'}, study.md, study.png", markup=False)
