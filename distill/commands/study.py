"""`python -m distill study CONFIG.toml`: the controlled comparison, as one table and one figure."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from distill import settings
from distill.commands.console import (
    Check,
    ConfigFile,
    JsonFile,
    Override,
    log_to_stderr,
    show_check,
    stoppable,
    trainer_libraries,
)
from distill.commands.tables import show, table_of
from runtime.commands.output import write_json
from runtime.errors import InputError

if TYPE_CHECKING:
    from distill.config.sections import Config

RUNS = Path("runs")

log = logging.getLogger(__name__)


def study(
    config: ConfigFile,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Number of seeds per row. Default: study.seeds.")
    ] = None,
    override: Override = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the study. Default: runs/, with the name of CONFIG.")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Number of trainings at the same time.")] = 1,
    check: Check = False,
    json_file: JsonFile = None,
) -> int:
    """Compare distillation with its controls. An interrupted study continues when called again."""
    chosen = settings.load(config, override or ())
    if seeds is not None:
        if seeds < 1:
            msg = f"--seeds is {seeds}; give at least 1, and 3 for a spread that means something."
            raise InputError(msg)
        chosen = replace(chosen, study=replace(chosen.study, seeds=seeds))
    folder = out or RUNS / config.stem
    with trainer_libraries():
        from distill.studies.check import examine
        from distill.studies.flow import study as run
        from distill.training.preflight import check_trainer
    examined = examine(chosen, folder)
    if check:
        return show_check(examined, json_file)
    examined.raise_problems()
    check_trainer(chosen.trainer)
    with log_to_stderr(), stoppable(), _progress(chosen, folder) as step:
        found = run(chosen, folder, workers, step)
    _show(found, folder)
    write_json(json_file, found)
    return 0


@contextmanager
def _progress(config: "Config", out: Path) -> Iterator[Callable[[str], None]]:
    """A bar over the trainings on standard error where that is a terminal, else a line each."""
    from distill.studies.plan import plan

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
    from distill.studies.report import head, others_head, rows_of

    console = Console(highlight=False, soft_wrap=True)
    console.print(found["title"], style="bold", markup=False)
    if found["headroom"]:
        console.print(found["headroom"], markup=False)
    for heads, rows in ((head(found), rows_of(found)), (others_head(found), rows_of(found, other=True))):
        grid = table_of(*heads)
        for row in rows:
            grid.add_row(*row)
        show(grid)
    console.print(f"written: {folder / 'study.json'}, study.md, study.png", markup=False)
