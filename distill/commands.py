"""Train students of a teacher with `fit`, and score them on labelled images with `evaluate`."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from runtime.atomic import write_bytes
from runtime.errors import InputError

from . import config as configuration
from . import datasets
from .console import log_to_stderr, show_check, stoppable, trainer_libraries
from .gallery_command import gallery
from .head_command import head
from .label_command import label
from .scored_data import Labels, Split, labelled, scoring, unseen
from .students_command import show_students
from .study_command import study

if TYPE_CHECKING:
    from .student import Student

RUNS = Path("runs")
FIGURES = {
    "Dice, mean over images": "dice_mean",
    "Dice, pooled": "dice_pooled",
    "IoU, mean over images": "iou_mean",
    "IoU, pooled": "iou_pooled",
    "AP at IoU 0.5, mean over images": "ap50_mean",
    "AP at IoU 0.5, pooled": "ap50_pooled",
}

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)
app.command()(label)
app.command()(head)
app.command()(study)
app.command()(gallery)
app.command("students")(show_students)

Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]


@app.command()
def fit(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to train, on what, and how long.")],
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting, e.g. float.steps=500."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The student's folder; left out: runs/NAME.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Open every file, say what would be trained, and train nothing.")
    ] = False,
    debug: Debug = False,
) -> int:
    """Train a student in float, then for int8; run again to go on."""
    settings = configuration.load(config, override or ())
    folder = out or _default_folder(settings.student.name)
    with trainer_libraries():
        from .check import examine
        from .train import fit as train
    if check:
        return show_check(examine(settings), None)
    with log_to_stderr(), stoppable():
        student = train(settings, folder)
    if student is None:  # another of the processes that trained together speaks for all of them
        return 0
    validation = student.metrics["validation"]
    dices = ", ".join(f"{scores['dice_mean']:.4f} {precision}" for precision, scores in validation.items())
    print(f"{student.spec.name} is in {folder}: validation Dice {dices} (images: {validation['fp32']['images']})")
    return 0


@app.command()
def evaluate(
    student: Annotated[str, typer.Argument(metavar="STUDENT", help="A bundled student's name, or a folder.")],
    data: Annotated[str, typer.Option(metavar="NAME:PATH", help="Labelled data, e.g. synthetic:6@7.")],
    split: Annotated[Split, typer.Option(help="Which part of the data.")] = Split.all,
    labels: Annotated[
        Labels | None, typer.Option(help="Which objects; left out: those that the student was trained on.")
    ] = None,
    quantized: Annotated[bool, typer.Option("--quantized", help="Compute as int8 does.")] = False,
    include_trained: Annotated[
        bool, typer.Option("--include-trained", help="Use images seen in training, too.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="F", help="Write what is printed, for machines.")
    ] = None,
    debug: Debug = False,
) -> int:
    """Score a student on labelled images."""
    samples = datasets.open(data, split.value)
    with trainer_libraries():
        from . import student as student_files
    loaded = student_files.load(student)
    wanted = labels.value if labels else str(loaded.metrics.get("labels", "nuclei"))
    new = unseen(samples, data, () if include_trained else loaded.lineage.trained_on)
    scores = _score(loaded, new, wanted, quantized)
    left_out = dict(new.left_out)
    found = {
        "student": loaded.spec.name,
        "data": data,
        "split": split.value,
        "labels": wanted,
        "precision": "int8 (fake-quantised)" if quantized else "fp32",
        "threshold": loaded.spec.threshold,
        "seen_in_training": left_out.get(datasets.SEEN, 0),
        "left_out": left_out,
        **scores,
    }
    _show(found)
    if json_file:
        write_bytes(json_file, (json.dumps(found, indent=2) + "\n").encode())
    return 0


def _default_folder(name: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        msg = f"student.name is {name!r}, which makes no folder name; use letters, digits, - and _, or give --out."
        raise InputError(msg)
    return RUNS / name


def _score(student: "Student", samples: datasets.Dataset, labels: str, quantized: bool) -> dict[str, Any]:
    from .evaluate import evaluate as score
    from .predict import predictor

    graph = student.quantized() if quantized else student.graph()
    with scoring(len(samples)) as step:
        return score(predictor(graph, student.spec), student.spec, labelled(samples, labels), labels, step)


def _show(found: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    head = f"{found['student']}, {found['precision']}, on {found['data']} ({found['split']}, {found['labels']})"
    console.print(head, markup=False, style="bold")
    grid = Table(show_header=False, box=None, pad_edge=False)
    grid.add_row("images", str(found["images"]))
    for reason, count in found["left_out"].items():
        grid.add_row(f"left out, {reason}", str(count))
    for title, key in FIGURES.items():
        grid.add_row(title, f"{found[key]:.4f}")
    console.print(grid)
