"""`python -m tools.search PLAN.toml`: time every candidate of a search on every backend that runs here."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from compile import targets
from runtime.commands import command_line
from runtime.system import atomic

TARGETS = ("intel", "microscope", "jetson")  # in the order of the columns
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def search_architecture(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="The candidates, e.g. configs/search.toml.")],
    target: Annotated[
        list[str] | None, typer.Option(help="intel, microscope or jetson; may be repeated; left out: all.")
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", help="Rounds of timing; 0: as the plan says.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="F.md", help="Where the table goes as Markdown.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="F", help="Every figure, for machines.")] = None,
) -> None:
    """Build every candidate with random weights, compile it in int8 and fp32, and time all of them in turns."""
    for name in target or ():
        targets.load(name)
    console = Console(stderr=True)
    with console.status("loading") as status:
        from tools.search.flow import search
        from tools.search.plan import read
        from tools.search.table import to_markdown

        read_plan = read(plan, rounds)
        found = search(read_plan, tuple(dict.fromkeys(target or TARGETS)), status.update)
    table = to_markdown(found, _command(plan, target or ()))
    typer.echo(table)
    if out:
        atomic.write_bytes(out, table.encode())
    if json_file:
        atomic.write_bytes(json_file, (json.dumps(found.to_dict(), indent=2) + "\n").encode())


def _command(plan: Path, chosen: list[str] | tuple[str, ...]) -> str:
    return " ".join(["python -m tools.search", str(plan), *(f"--target {name}" for name in chosen)])


if __name__ == "__main__":
    sys.exit(command_line.run(lambda: app, "tools.search", "compile", sys.argv[1:]))
