"""The command of `python -m compile`: its options, and what it prints."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler

from compile import npu, npu_report, serving, targets
from compile.budget import MAX_DROP, OverBudget
from compile.sign import load_signer
from compile.tables import LAYERS, agreement_table, layers_table, show, steps_table, table_of
from runtime import atomic
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compile.build import Outcome, Request
    from runtime.artifact import Artifact

PRECISIONS = ("int8", "fp16", "fp32", "auto")
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def compile_student(
    target: Annotated[str, typer.Option(help="jetson, intel, microscope, or all.")],
    student: Annotated[str, typer.Option(help="A bundled student's name, or a student's folder.")] = "",
    precision: Annotated[
        str, typer.Option(help="int8, fp16, fp32, or auto: int8, mixed, fp16: the first that holds the budget.")
    ] = "int8",
    tile: Annotated[str, typer.Option(help="Tile in pixels, N or HxW; the student's own by default.")] = "",
    validate: Annotated[str, typer.Option(help="Labelled data to measure on, NAME:PATH.")] = "",
    max_drop: Annotated[
        float, typer.Option(help="Largest loss against the fp32 student, in Dice points; more: no artefact.")
    ] = MAX_DROP,
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
    layout: Annotated[
        str, typer.Option(help="Beside the artefact, a folder that a server loads: ovms (OpenVINO) or triton.")
    ] = "",
    sign: Annotated[Path | None, typer.Option(help="Private Ed25519 key, PEM: signs the artefacts.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what is printed, for machines.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compile a student for the devices in the lab and prove that it still is what was trained."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_time=False)],
    )
    _check(target, precision, max_drop)
    chosen = _chosen(target)
    npus = npu.check(npu_names or (), chosen, precision)
    if layout:
        serving.served(layout, chosen)
    size = _tile(tile) if tile else None
    _check_folder("--out", out)
    if json_file:
        _check_folder("--json", json_file.parent)
    signer = load_signer(sign)
    console = Console(stderr=True)
    with console.status("loading") as status:
        from compile import boards
        from compile.build import Request, run
        from distill import student as students

        if device:
            boards.check(device, chosen)
        loaded = students.load(student or students.DEFAULT)
        request = Request(
            chosen,
            precision,
            size or loaded.spec.tile,
            validate or None,
            max_drop,
            npu=npus,
            layout=layout or None,
            sign=signer,
            device=device or None,
        )
        try:
            outcome = run(loaded, request, out, step=lambda what: status.update(f"{loaded.spec.name}: {what}"))
        except OverBudget as missed:
            status.stop()
            _show_why(missed)
            _write(json_file, missed.to_dict())
            raise
    _show(outcome, request)
    _write(json_file, [_row(item, outcome) for item in outcome.artifacts])


def _write(json_file: Path | None, content: object) -> None:
    if json_file:
        atomic.write_bytes(json_file, (json.dumps(content, indent=2) + "\n").encode())


def _check(target: str, precision: str, max_drop: float) -> None:
    if target not in (*targets.names(), "all"):
        targets.load(target)  # says which there are; one that exists is imported when it is its turn
    if precision not in PRECISIONS:
        msg = f"Unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}."
        raise InputError(msg)
    if not math.isfinite(max_drop):
        msg = f"--max-drop is {max_drop}; give Dice points, for example --max-drop 0.5."
        raise InputError(msg)


def _chosen(target: str) -> tuple[str, ...]:
    return tuple(targets.names()) if target == "all" else (target,)


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


def _show(outcome: Outcome, request: Request) -> None:
    made = outcome.artifacts
    if outcome.steps:
        show(steps_table([row for item in made for row in _steps(outcome, item)]), "")
    table = table_of(
        "artefact", "MB", "Dice", "drop", "95 %", "outline\nF1", "count\nerror", "with\nreference", "with\nothers",
        "int8\nconv.",
    )  # fmt: skip
    for item in made:
        table.add_row(*_cells(_row(item, outcome)))
    manifest = made[0].manifest
    written = [item.path for item in made] + serving.places(request.layout, made)
    said = [
        f"Written: {', '.join(str(place) for place in written)}.",
        f"Dice on {manifest.accuracy['data']}; drop: points below fp32, with its interval over the images.",
        "Outline F1 at 2 px; count error: |found - labelled| / labelled, the mean over images.",
        "reference, others: mask Dice with the reference on the probes, with the other targets on those images.",
        *dict.fromkeys(note for item in made for note in item.manifest.notes),
    ]
    if outcome.steps:
        said.append(f"--precision auto chose {manifest.precision}.")
    show(table, *said, "")
    for item in made:
        if found := item.manifest.operators.get("npu"):
            _show_npu(found)
    limits = manifest.tolerance
    show(
        agreement_table(outcome.matrix),
        f"Mask Dice, and the largest difference of probability, on the {manifest.probes.count} probes; due: at least "
        f"{limits.mask_dice:g}, at most {limits.probability_max:g}.",
    )


def _show_npu(found: Mapping[str, Any]) -> None:
    table = table_of(*(column.replace(" ", "\n", 1) for column in npu_report.COLUMNS))
    for name, record in found.items():
        table.add_row(*npu_report.cells(name, record))
    show(table, *npu_report.lines(found), "")


def _show_why(missed: OverBudget) -> None:
    """What was measured of a student that is not written."""
    if missed.steps:
        show(steps_table(missed.steps), "")
    if (found := missed.sensitivity) is None:
        return
    more = f" {LAYERS} of {len(found.rows)} layers; all are written by --json." if len(found.rows) > LAYERS else ""
    show(
        layers_table(found),
        f"Where the error of int8 enters: each layer rounded alone, and all but that layer, against float, on "
        f"{found.crops} recorded frames.{more}",
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy, operators = row["accuracy"], row["operators"]
    within = accuracy["intervals"]["drop_points"]
    return (
        Path(row["path"]).name,
        f"{row['bytes'] / 1e6:.2f}",
        f"{accuracy['dice_mean']:.4f}",
        f"{accuracy['drop_points']:.2f}",
        f"{within[0]:.2f} to {within[1]:.2f}" if within else "-",
        f"{accuracy['boundary_f1']:.4f}",
        f"{accuracy['object_count_error']:.3f}",
        f"{row['agreement']['reference']['mask_dice']:.4f}",
        _least_agreement(row["agreement"]),
        f"{operators['int8_convolutions']}/{operators['convolutions']}",
    )


def _steps(outcome: Outcome, item: Artifact) -> list[dict[str, Any]]:
    """What was tried for the target of this artefact."""
    target = item.manifest.target
    return [{"target": target, **step.to_dict(target)} for step in outcome.steps]


def _least_agreement(agreement: Mapping[str, Any]) -> str:
    found = [peer["images_mask_dice"] for peer in agreement.values() if "images_mask_dice" in peer]
    return f"{min(found):.4f}" if found else "-"


def _row(artifact: Artifact, outcome: Outcome) -> dict[str, Any]:
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
        **({"steps": _steps(outcome, artifact)} if outcome.steps else {}),
    }
