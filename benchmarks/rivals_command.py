"""The command `rivals`: how long the networks take that people would use in place of ours."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from runtime.atomic import make_folder, write_bytes
from runtime.errors import InputError

from . import rival_networks
from . import rivals as flow
from .places import check_files
from .rivals_record import Comparison
from .rivals_table import to_markdown

STRIDE = 32  # of our student: sides must be multiples of it
NONE = "none"


def rivals(
    networks: Annotated[
        list[str] | None, typer.Argument(metavar="NETWORK...", help="stardist, instanseg, cellpose; left out: all.")
    ] = None,
    sides: Annotated[str, typer.Option(metavar="N,...", help="Sides of the square frames.")] = "256,512,2048",
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="Threads of each network.")] = 2,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Fresh processes per network and size.")] = 3,
    repeats: Annotated[int, typer.Option(metavar="N", min=2, help="Timed calls per process, at most.")] = 30,
    seconds: Annotated[float, typer.Option(metavar="S", min=0, help="No further call is begun after them.")] = 10.0,
    student: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|DIR", help="Ours, repeatable; ratios are to the first. Left out: the default."),
    ] = None,
    frame_tiles: Annotated[
        str, typer.Option(metavar="T,...", help="Tiles for whole frames: frame, 256, 512x2048; none leaves them out.")
    ] = ",".join(flow.FRAME_TILES),
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Of the rivals' environments; gigabytes.")] = Path(
        "build/rivals"
    ),
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="F", help="Write every sample, for machines.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="F", help="Write the table.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> int:
    """Install the networks of StarDist, InstanSeg and Cellpose 3, each beside nothing else, and time them with ours."""
    chosen = tuple(dict.fromkeys(networks or rival_networks.names()[1:]))
    for name in chosen:
        rival_networks.load(name)
    check_files((json_file, markdown))
    others = tuple(name for name in chosen if name != rival_networks.OURS)
    students = tuple(dict.fromkeys(student or (flow.DEFAULT_STUDENT,)))
    if len(set(map(flow.name_of, students))) < len(students):
        msg = (
            f"Students {', '.join(students)} do not differ in their names, which tell the rows apart; rename a folder."
        )
        raise InputError(msg)
    tiles = _frame_tiles(frame_tiles)
    plan = flow.Plan(folder, others, _sides(sides), threads, rounds, repeats, seconds, students, tiles)
    make_folder(folder)

    def keep(found: Comparison) -> None:
        if json_file:
            write_bytes(json_file, found.to_json().encode())
        if markdown:
            write_bytes(markdown, to_markdown(found).encode())

    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("rivals", total=flow.steps(plan))
        found = flow.run(plan, lambda what: progress.update(task, advance=1, description=what), keep)
    console = Console(highlight=False)
    text = to_markdown(found)
    console.print(Markdown(text) if console.is_terminal else text, markup=False, soft_wrap=True)
    return 1 if any(item.not_measured for item in found.results) else 0


def _sides(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    sides = tuple(sorted({int(part) for part in parts if part.isascii() and part.isdigit()}))
    if not all(part.isascii() and part.isdigit() for part in parts) or any(not 64 <= n <= 8192 for n in sides):
        msg = f"Sides {text!r} are not sizes from 64 to 8192 pixels with commas; write for example 256,512."
        raise InputError(msg)
    if odd := [side for side in sides if side % STRIDE]:
        msg = f"Side {odd[0]} is not a multiple of our student's stride {STRIDE}; try {odd[0] // STRIDE * STRIDE}."
        raise InputError(msg)
    return sides


def _frame_tiles(text: str) -> tuple[str, ...]:
    """The tiles, each once; InputError for what is none."""
    tiles = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if tiles == (NONE,):
        return ()
    for tile in tiles:
        if tile != flow.WHOLE:
            flow.tile_sides(tile)
    return tiles
