"""`python -m distill students`: the bundled students, and the families that can be trained, with their cost."""

from typing import Any

from rich.table import Table

from distill.commands.console import JsonFile, trainer_libraries
from distill.commands.tables import show, table_of
from runtime import metrics
from runtime.commands.output import write_json


def students(
    json_file: JsonFile = None,
) -> int:
    """List the bundled students with accuracy and cost, and the families that can be trained."""
    with trainer_libraries():
        from distill.student.inventory import TILE, bundled, decoders, inventory
    rows, compared, ours = inventory(), decoders(), bundled()
    show(
        _bundled_table(ours),
        "Scores: means over the validation images, on which the thresholds were chosen. px: diameter of the objects "
        f"that it works at. GMAC of one tile of {TILE[0]}x{TILE[1]} pixels. * is the default.\n",
    )
    widths = "; ".join(f"{label} {'-'.join(map(str, decoder))}" for label, decoder in compared.items())
    said = [
        "M: millions of parameters. The paper's (arXiv 2606.00928) are its backbones', as it quotes them.",
        f"whole M, GMAC: with the decoder {widths}; GMAC of one tile of {TILE[0]}x{TILE[1]} pixels.",
        *(f"{row['name']}: {_ends(row)}" for row in rows if row["head_stride"] > 1),
        *(f"No int8 of {row['name']}: {row['no_int8']}. Use fp16 or fp32." for row in rows if not row["int8"]),
    ]
    show(_table(rows, list(compared)), *said)
    write_json(json_file, {"bundled": ours, "families": rows})
    return 0


def _ends(row: dict[str, Any]) -> str:
    resolution = {2: "half", 4: "a quarter"}[row["head_stride"]]
    return f"the decoder ends at {resolution} of the resolution, so the last of these widths are left out."


def _bundled_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    titles = [metrics.load(name).title for name in metrics.HEADLINES]
    for column in ("bundled", "finds", "px", *titles, "images", "M", "GMAC", "MB"):
        table.add_column(column, justify="left" if column in ("bundled", "finds") else "right", no_wrap=True)
    for row in rows:
        scores = [f"{value:.3f}" for value in row["scores"].values()]
        size = "any" if row["object_diameter_px"] is None else f"{row['object_diameter_px']:g}"
        cost = (str(row["images"]), f"{row['whole_m']:.2f}", f"{row['gmac']:.2f}", f"{row['mb']:g}")
        table.add_row(f"{row['name']}{'*' * row['default']}", row["labels"], size, *scores, *cost)
    return table


def _table(rows: list[dict[str, Any]], decoders: list[str]) -> Table:
    sizes = [f"{unit}\n{label}" for label in decoders for unit in ("whole M", "GMAC")]
    table = table_of("student", "paper M", "backbone M", *sizes, "stride", "int8")
    for row in rows:
        costs = [f"{cost[key]:.2f}" for cost in row["decoders"].values() for key in ("whole_m", "gmac")]
        quoted = row["paper_backbone_m"]
        head = (row["name"], "-" if quoted is None else f"{quoted:g}", f"{row['backbone_m']:.2f}")
        table.add_row(*head, *costs, str(row["stride"]), "yes" if row["int8"] else "no")
    return table
