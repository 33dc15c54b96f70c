"""Tables on standard output, for the commands of this package and of `compile`."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDEST = 10_000  # characters: more than any table needs


def table_of(*columns: str) -> Table:
    """An empty table: its first column is text, the others are figures."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def show(table: Table, *below: str, style: str = "dim") -> None:
    """Print a table, and lines of notes below it. What they hold is text, and no markup."""
    console, wide = Console(), Console(width=WIDEST, markup=False)
    needed = Measurement.get(wide, wide.options, table).maximum  # a narrow terminal wraps it, but no figure is cut
    Console(width=max(console.width, needed), markup=False).print(table)
    for line in below:
        console.print(line, style=style, highlight=False, soft_wrap=True, markup=False)
