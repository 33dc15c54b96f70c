"""What the command prints beside the artefacts: agreement, where the error enters, and what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compile.sensitivity import Effect, Sensitivity

WIDTH = 140  # of a table at least: a narrow terminal may wrap it, but no figure is cut
LAYERS = 12  # that are printed; all are in the file of --json
REFERENCE_ROW = "reference"


def show(table: Table, *below: str) -> None:
    """Print a table on standard output, and what is to be said below it."""
    console = Console()
    Console(width=max(console.width, WIDTH)).print(table)
    for line in below:
        console.print(line, style="dim", highlight=False, soft_wrap=True, markup=False)


def table_of(*columns: str, title: str = "") -> Table:
    """An empty table: its first column is text, the others are figures."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def agreement_table(matrix: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Every one that ran on the probes against every other: mask Dice, and the largest difference of probability."""
    names = [*matrix, REFERENCE_ROW]
    table = table_of("agreement", *names, title="")
    for name in names:
        pairs = [matrix[name].get(peer) if name in matrix else matrix[peer].get(name) for peer in names if peer != name]
        cells = [f"{pair['mask_dice']:.4f} {pair['probability_max']:.3f}" if pair else "-" for pair in pairs]
        cells.insert(names.index(name), "")
        table.add_row(name, *cells)
    return table


def layers_table(found: Sensitivity) -> Table:
    """The layers that int8 hurts most."""
    table = table_of(
        "layer", "alone\nmean |dp|", "alone\nmask Dice", "without it\nmean |dp|", "without it\nmask Dice", "reads"
    )
    for row in found.rows[:LAYERS]:
        table.add_row(row.layer, *_effect(row.alone), *_effect(row.without), row.reads)
    table.add_row("all rounded", *_effect(found.whole), "", "", "", style="bold")
    return table


def steps_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """What --precision auto tried, target by target."""
    table = table_of("tried", "target", "float\nlayers", "Dice", "drop", "ms/frame", "holds")
    for row in steps:
        table.add_row(
            row["precision"],
            row["target"],
            str(len(row["float_layers"])) if row["float_layers"] else "-",
            _figure(row["dice_mean"], 4),
            _figure(row["drop_points"], 2),
            _figure(row["latency_ms"], 1),
            "no" if row["refused"] else "yes",
        )
    return table


def _effect(effect: Effect) -> tuple[str, str]:
    return f"{effect.difference:.5f}", f"{effect.mask_dice:.4f}"


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
