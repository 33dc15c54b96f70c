"""The command of `python -m compile`: its options, and what it prints."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from compile import npu, npu_report, targets
from runtime import atomic
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compile.build import Request
    from runtime.artifact import Artifact

WIDTH = 140  # of the table at least: a narrow terminal may wrap it, but no figure is cut
PRECISIONS = ("int8", "fp16", "fp32", "auto")
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def compile_student(
    target: Annotated[str, typer.Option(help="jetson, intel, microscope, or all.")],
    student: Annotated[str, typer.Option(help="A bundled student's name, or a student's folder.")] = "",
    precision: Annotated[
        str, typer.Option(help="int8, fp16, fp32, or auto: the first that holds the budget.")
    ] = "int8",
    tile: Annotated[str, typer.Option(help="Tile in pixels, N or HxW; the student's own by default.")] = "",
    validate: Annotated[str, typer.Option(help="Labelled data to measure on, NAME:PATH.")] = "",
    max_drop: Annotated[
        float | None, typer.Option(help="Largest loss against the fp32 student, in Dice points; more: no artefact.")
    ] = None,
    npu_names: Annotated[
        list[str] | None,
        typer.Option(
            "--npu",
            help="With microscope in int8: compile for ethos-u55, ethos-u65 or ethos-u85 too, or for one with its "
            "multiply-adds a cycle (ethos-u55-128; 256 is the default). May be repeated.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="The Jetson: orin-nano, orin-nx, agx-orin or thor.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the artefacts.")] = Path("artifacts"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what is printed, for machines.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compile a student for the devices in the lab and prove that it still is what was trained."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_time=False)],
    )
    _check(target, precision)
    chosen = tuple(targets.names()) if target == "all" else (target,)
    npus = npu.check(npu_names or (), chosen, precision)
    size = _tile(tile) if tile else None
    _check_folder("--out", out)
    if json_file:
        _check_folder("--json", json_file.parent)
    console = Console(stderr=True)
    with console.status("loading") as status:
        from compile import boards
        from compile.build import Request, auto, build
        from distill import student as students

        if device:
            boards.check(device, chosen)
        loaded = students.load(student or students.DEFAULT)
        tile_size = size or loaded.spec.tile
        request = Request(chosen, precision, tile_size, validate or None, max_drop, npus, device or None)
        flow = auto if precision == "auto" else build
        made = flow(loaded, request, out, step=lambda what: status.update(f"{loaded.spec.name}: {what}"))
    _show(made, request)
    if json_file:
        atomic.write_bytes(json_file, (json.dumps([_row(item) for item in made], indent=2) + "\n").encode())


def _check(target: str, precision: str) -> None:
    if target not in (*targets.names(), "all"):
        targets.load(target)  # says which there are; one that exists is imported when it is its turn
    if precision not in PRECISIONS:
        msg = f"Unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}."
        raise InputError(msg)


def _tile(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if not match:
        msg = f"Tile {text!r} is not a size in pixels; write for example --tile 256 or --tile 512x768."
        raise InputError(msg)
    return int(match[1]), int(match[2] or match[1])


def _check_folder(option: str, folder: Path) -> None:
    """Before minutes of work: can the result be written at all?"""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        msg = f"{option} {folder} cannot be made: {place} is a file; choose another folder."
        raise InputError(msg)
    if not os.access(place, os.W_OK):
        msg = f"{option} {folder} cannot be written: no permission in {place}; choose another folder."
        raise InputError(msg)


def _show(made: list[Artifact], request: Request) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("artefact", "MB", "Dice", "drop", "with\nreference", "with\nothers", "int8\nconv."):
        table.add_column(column, justify="left" if column == "artefact" else "right", no_wrap=True)
    for item in made:
        table.add_row(*_cells(_row(item)))
    console = Console()
    Console(width=max(console.width, WIDTH)).print(table)
    manifest = made[0].manifest
    said = [
        f"Written: {', '.join(str(item.path) for item in made)}.",
        f"Dice on {manifest.accuracy['data']}; drop: points below fp32.",
        "reference, others: mask Dice with the reference on the probes, with the other targets on those images.",
        *dict.fromkeys(note for item in made for note in item.manifest.notes),
    ]
    if request.precision == "auto":
        said.append(f"--precision auto chose {manifest.precision}.")
    console.print("\n".join(said), style="dim", highlight=False, soft_wrap=True)
    for item in made:
        if found := item.manifest.operators.get("npu"):
            _show_npu(console, found)


def _show_npu(console: Console, found: Mapping[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in npu_report.COLUMNS:
        table.add_column(column.replace(" ", "\n", 1), justify="left" if column == "NPU" else "right", no_wrap=True)
    for name, record in found.items():
        table.add_row(*npu_report.cells(name, record))
    console.print()
    Console(width=max(console.width, WIDTH)).print(table)
    console.print("\n".join(npu_report.lines(found)), style="dim", highlight=False, soft_wrap=True)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy, operators = row["accuracy"], row["operators"]
    return (
        Path(row["path"]).name,
        f"{row['bytes'] / 1e6:.2f}",
        f"{accuracy['dice_mean']:.4f}",
        f"{accuracy['drop_points']:.2f}",
        f"{row['agreement']['reference']['mask_dice']:.4f}",
        _least_agreement(row["agreement"]),
        f"{operators['int8_convolutions']}/{operators['convolutions']}",
    )


def _least_agreement(agreement: Mapping[str, Any]) -> str:
    found = [peer["images_mask_dice"] for peer in agreement.values() if "images_mask_dice" in peer]
    return f"{min(found):.4f}" if found else "-"


def _row(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {
        "path": str(artifact.path),
        "target": manifest.target,
        "precision": manifest.precision,
        "bytes": artifact.size_bytes,
        "accuracy": dict(manifest.accuracy),
        "agreement": dict(manifest.agreement),
        "operators": dict(manifest.operators),
        "notes": list(manifest.notes),
    }
