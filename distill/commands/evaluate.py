"""`python -m distill evaluate STUDENT`: how well a student segments labelled images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from distill.commands.console import IncludeTrained, JsonFile, trainer_libraries
from distill.commands.tables import show
from distill.evaluation.scored_data import Labels, Split, scoring
from runtime import metrics
from runtime.commands.output import write_json
from runtime.errors import InputError


def evaluate(
    student: Annotated[
        str,
        typer.Argument(
            metavar="STUDENT", help="Name of a bundled student, or a student's folder; with --suite also an artefact."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:PATH", help="Labelled data, e.g. synthetic:6@7. With --suite it may be repeated."),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Score every sub-folder with images/ and labels/, at several scales."),
    ] = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(help="With --suite: resize images by this factor. Default: 0.25, 0.5, 1, 2 and 4."),
    ] = None,
    split: Annotated[Split, typer.Option(help="Part of --data to use.")] = Split.all,
    labels: Annotated[
        Labels | None, typer.Option(help="Objects to score. Default: the kind that the student was trained on.")
    ] = None,
    quantized: Annotated[
        bool, typer.Option("--quantized", help="Compute with INT8 arithmetic instead of fp32.")
    ] = False,
    include_trained: IncludeTrained = False,
    json_file: JsonFile = None,
) -> int:
    """Score a student on labelled images."""
    sources = data or []
    options = {
        "split": split.value,
        "labels": labels.value if labels else None,
        "quantized": quantized,
        "include_trained": include_trained,
        "progress": scoring,
    }
    if suite is not None:
        with trainer_libraries():
            from distill.evaluation.suite import SCALES, evaluate_suite
        scores = evaluate_suite(student, suite, sources, scales=tuple(dict.fromkeys(scale or SCALES)), **options)
        _show_suite(scores)
    elif len(sources) != 1 or scale:
        msg = "Give one --data, or several sources and scales with --suite DIR."
        raise InputError(msg)
    else:
        with trainer_libraries():
            from distill.evaluation.evaluate import evaluate as score
        scores = score(student, sources[0], **options)
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
    show(table)


def _cells(score: Mapping[str, Any], decimals: int) -> tuple[str, str, str]:
    within = "-" if score["interval"] is None else " to ".join(_figure(end, decimals) for end in score["interval"])
    return _figure(score["mean"], decimals), within, _figure(score["pooled"], decimals)


def _figure(value: float | None, decimals: int = 3) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _show_suite(scores: Mapping[str, Any]) -> None:
    """The table as Markdown, for a terminal and for a page."""
    print(f"{scores['student']}, {scores['precision']}, weights {scores['weights_sha256'][:12]}, {scores['labels']}\n")
    small, large = scores["sizes_px"]
    sizes = (f"AP <{small:g} px", f"{small:g}-{large:g}", f">{large:g}")
    heads = (
        *("source", "by", "scale", "diameter", "images"),
        *(metrics.load(name).title for name in scores["metrics"]),
        *sizes,
        *("px", "seen px", "lose AP", "no flag", "flags", "worst"),
    )
    for line in _aligned([heads, *(_suite_cells(row, scores["metrics"]) for row in scores["rows"])]):
        print(line)
    print(
        "\nMasks and errors: mean over images; other metrics of objects: of all together. px: median diameter of the "
        "labelled objects; seen px: the diameter that the runtime used.\nlose AP: images whose AP 0.5 is over 0.05 "
        "below that at scale 1; no flag: those of them without a flag. worst: least AP 0.5."
    )
    for reason in scores["left_out"]:
        print(f"left out: {reason}")


def _suite_cells(row: Mapping[str, Any], shown: Sequence[str]) -> tuple[str, ...]:
    return (
        *(row["source"], row["method"], f"{row['scale']:g}", row["diameter"], str(row["images"])),
        *(_suite_figure(name, row["scores"][name]) for name in shown),
        *(_figure(value) for value in row["ap50_by_size"].values()),
        *(_figure(row[name], 1) for name in ("labelled_px", "seen_px")),
        *("-" if row[name] is None else str(row[name]) for name in ("lost", "lost_without_flag")),
        ", ".join(f"{flag} {count}" for flag, count in row["flags"].items()) or "-",
        f"{row['worst']['name'][:16]} {row['worst'][metrics.HEADLINES[1]]:.3f}",
    )


def _suite_figure(name: str, score: Mapping[str, Any]) -> str:
    """Of all objects together; of masks and of errors the mean over images."""
    metric = metrics.load(name)
    together = metric.objects and metric.better == "higher"
    return _figure(score["pooled" if together else "mean"], metric.decimals)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines.insert(1, ["-" * width for width in widths])
    return [f"| {' | '.join(line)} |" for line in lines]
