"""`python -m distill evaluate STUDENT`: how well a student segments labelled images."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from distill.commands.console import Data, IncludeTrained, JsonFile, StudentName, trainer_libraries
from distill.evaluation.scored_data import Labels, Split, scoring
from runtime import metrics
from runtime.commands.output import write_json


def evaluate(
    student: StudentName,
    data: Data,
    split: Annotated[Split, typer.Option(help="Which part of the data.")] = Split.all,
    labels: Annotated[
        Labels | None, typer.Option(help="Which objects; left out: those that the student was trained on.")
    ] = None,
    quantized: Annotated[bool, typer.Option("--quantized", help="Compute as int8 does.")] = False,
    include_trained: IncludeTrained = False,
    json_file: JsonFile = None,
) -> int:
    """Score a student on labelled images."""
    with trainer_libraries():
        from distill.evaluation.evaluate import evaluate as score
    scores = score(
        student,
        data,
        split=split.value,
        labels=labels.value if labels else None,
        quantized=quantized,
        include_trained=include_trained,
        progress=scoring,
    )
    _show(scores)
    write_json(json_file, scores)
    return 0


def _show(scores: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    head = f"{scores['student']}, {scores['precision']}, on {scores['data']} ({scores['split']}, {scores['labels']})"
    console.print(head, markup=False, style="bold")
    grid = Table(show_header=False, box=None, pad_edge=False)
    grid.add_row("images", str(scores["images"]))
    for reason, count in scores["left_out"].items():
        grid.add_row(f"left out, {reason}", str(count))
    console.print(grid)
    table = Table("metric", "mean over images", "95 %", "all together", box=None, pad_edge=False, header_style="bold")
    for name, score in scores["scores"].items():
        table.add_row(metrics.load(name).title, *_cells(score, metrics.load(name).decimals))
    console.print(table)


def _cells(score: Mapping[str, Any], decimals: int) -> tuple[str, str, str]:
    def figure(value: float | None) -> str:
        return "-" if value is None else f"{value:.{decimals}f}"

    within = "-" if score["interval"] is None else " to ".join(map(figure, score["interval"]))
    return figure(score["mean"]), within, figure(score["pooled"])
