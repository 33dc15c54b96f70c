"""The command `rivals`: how long people wait with what they would use in place of ours."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.commands.options import Json, MarkdownFile, progress, show_markdown
from benchmarks.inputs.compiled import targets
from benchmarks.rivals import flow
from benchmarks.rivals.network import ENDS, OBJECTS
from benchmarks.rivals.ours import OURS, RIVALS, load
from benchmarks.rivals.record import RivalComparison
from benchmarks.rivals.table import to_markdown
from runtime.commands.output import write_json, write_text
from runtime.errors import InputError, did_you_mean
from runtime.system.atomic import make_folder
from runtime.system.places import check_file

STRIDE = 32  # of our student: sides must be multiples of it


def rivals(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NETWORK...", help=f"Networks to compare with: {', '.join(RIVALS.names())}. Default: all."
        ),
    ] = None,
    sides: Annotated[
        str, typer.Option(metavar="N,...", help="Side lengths of the square frames, in pixels.")
    ] = "256,512,2048",
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="Number of threads of each network.")] = 2,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of fresh processes per network and size.")
    ] = 3,
    repeats: Annotated[int, typer.Option(metavar="N", min=2, help="Largest number of timed calls per process.")] = 30,
    seconds: Annotated[float, typer.Option(metavar="S", min=0, help="Start no new call after this time.")] = 10.0,
    student: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|DIR", help="Student of edgescope to compare. Default: the bundled default; may be repeated."
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="T", help="Target of the students. Default: the first that runs here.")
    ] = None,
    frame_tiles: Annotated[
        str, typer.Option(metavar="T,...", help="Tiles of the students, e.g. frame, 256, 512x2048.")
    ] = ",".join(flow.FRAME_TILES),
    until: Annotated[
        str, typer.Option(metavar="STAGE", help=f"The last step that is timed: {', '.join(ENDS)}.")
    ] = OBJECTS,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the networks' environments (several GB).")
    ] = Path("build/rivals"),
    json_file: Json = None,
    markdown: MarkdownFile = None,
) -> int:
    """Compare the speed of StarDist, InstanSeg and Cellpose with edgescope, from a frame to its objects."""
    chosen = tuple(dict.fromkeys(networks or RIVALS.names()))
    for name in chosen:
        load(name)
    if target is not None and target not in targets():
        known = ", ".join(targets()) or "none: compile is not installed"
        msg = f"There is no target {target!r}; choose one of {known}.{did_you_mean(target, targets())}"
        raise InputError(msg)
    if until not in ENDS:
        msg = f"A frame cannot be timed until {until!r}; give one of {', '.join(ENDS)}."
        raise InputError(msg)
    check_file(json_file, markdown)
    students = tuple(dict.fromkeys(student or (flow.DEFAULT_STUDENT,)))
    if len(set(map(flow.name_of, students))) < len(students):
        msg = (
            f"Students {', '.join(students)} do not differ in their names, which tell the rows apart; rename a folder."
        )
        raise InputError(msg)
    plan = flow.RivalsPlan(
        folder=folder,
        networks=tuple(name for name in chosen if name != OURS),
        sides=_sides(sides),
        threads=threads,
        rounds=rounds,
        repeats=repeats,
        seconds=seconds,
        students=students,
        frame_tiles=_frame_tiles(frame_tiles),
        target=target,
        until=until,
    )
    make_folder(folder)

    def keep(comparison: RivalComparison) -> None:
        write_json(json_file, comparison)
        write_text(markdown, to_markdown(comparison))

    with progress("rivals", flow.steps(plan)) as step:
        comparison = flow.run(plan, step, keep)
    show_markdown(to_markdown(comparison))
    return 1 if any(item.not_measured for item in comparison.results) else 0


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
    for tile in tiles:
        if tile != flow.WHOLE:
            flow.tile_sides(tile)
    return tiles
