"""What a study leaves for people and machines: study.json, study.md and one figure, study.png."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from distill.studies.figure import draw
from distill.studies.score import VALIDATION
from runtime.system.atomic import write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEAD = ("row", "{headline}", "gain, points (95 %)", "recovery", "parameters M (backbone)", "GMAC")


def write(found: dict[str, Any], out: Path) -> None:
    """Write the three files into the folder ``out``."""
    write_bytes(out / "study.json", (json.dumps(found, indent=1, allow_nan=False) + "\n").encode())
    write_bytes(out / "study.md", markdown(found).encode())
    write_bytes(out / "study.png", draw(found))


def markdown(found: dict[str, Any]) -> str:
    """The study as Markdown: how it was done, the headroom, a table for each of the held-out data."""
    parts = [f"# {found['title']}", _protocol(found)]
    if found["headroom"]:
        parts.append(f"**Headroom.** {_sentence(found['headroom'])}")
    for data in found["units"]:
        parts.append(f"## {data.capitalize()} data\n\n{table(found, data)}\n\n{others(found, data)}")
    parts.append("![The first two metrics of every row, one dot per seed](study.png)")
    return "\n\n".join(parts) + "\n"


def table(found: dict[str, Any], data: str = VALIDATION) -> str:
    """The main table in Markdown, of the headline metric; gains and their intervals in points of 0.01."""
    return _markdown(head(found), [cells(found, line, data) for line in _lines(found, data)])


def others(found: dict[str, Any], data: str = VALIDATION) -> str:
    """A table in Markdown of all other metrics, each with its gain."""
    return _markdown(others_head(found), [other_cells(found, line, data) for line in _lines(found, data)])


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ("---",) * len(heads), *rows))


def _lines(found: dict[str, Any], data: str) -> list[dict[str, Any]]:
    return [line for line in found["rows"] if data in line["scores"]]


def head(found: dict[str, Any]) -> tuple[str, ...]:
    """The heads of the main table's columns."""
    headline = next(iter(found["metrics"].values()))
    return tuple(column.format(headline=headline) for column in HEAD)


def others_head(found: dict[str, Any]) -> tuple[str, ...]:
    """The heads of the other table's columns."""
    _, *titles = found["metrics"].values()
    return ("row", *(head for title in titles for head in (title, HEAD[2])))


def cells(found: dict[str, Any], line: dict[str, Any], data: str = VALIDATION) -> tuple[str, ...]:
    """One row of the main table as text; "-" where there is nothing to say."""
    score = line["scores"][data][next(iter(found["metrics"]))]
    return (
        f"{line['title']}{_radius(line)}",
        _value(score),
        _gain(score),
        "-" if line["recovery"] is None or data != VALIDATION else f"{100 * line['recovery']:.1f} %",
        "-" if line["whole_m"] is None else f"{line['whole_m']:.2f} ({line['backbone_m']:.2f})",
        "-" if line["gmac"] is None else f"{line['gmac']:.2f}",
    )


def other_cells(found: dict[str, Any], line: dict[str, Any], data: str = VALIDATION) -> tuple[str, ...]:
    """One row of the other table as text."""
    _, *names = found["metrics"]
    scores = [line["scores"][data][name] for name in names]
    return (f"{line['title']}{_radius(line)}", *(text for one in scores for text in (_value(one), _gain(one))))


def _protocol(found: dict[str, Any]) -> str:
    units = ", ".join(f"{count} of {data}" for data, count in found["units"].items())
    where = f"blocks of about {found['block']} px a side" if found["block"] else "images"
    return (
        f"Labels: {found['labels']}. {found['seeds']} seeds a row, {found['steps']} steps each; every row sees the "
        "same crops in the same order, with the same optimiser and schedule. Figures are means over units "
        f"({where}: {units}) and then over seeds, +- the standard deviation over seeds. A gain is the mean difference "
        "to the undistilled row of the same student and labels, in points of 0.01; its interval is a paired bootstrap "
        "over units. Recovery: Dice over that of the teacher. Mask thresholds are chosen on the "
        "training images, by the teacher's mask where a row has no labels."
    )


def _value(figure: dict[str, Any]) -> str:
    spread = "" if figure["sd"] is None else f" +- {figure['sd']:.4f}"
    return f"{figure['mean']:.4f}{spread}"


def _gain(figure: dict[str, Any]) -> str:
    if figure["gain"] is None:
        return "-"
    if figure["interval"] is None:
        return f"{100 * figure['gain']:+.2f}"
    low, high = figure["interval"]
    return f"{100 * figure['gain']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def _sentence(text: str) -> str:
    body = text.removeprefix("headroom: ")
    return f"{body[:1].upper()}{body[1:]}."


def rows_of(found: dict[str, Any], *, other: bool = False) -> Sequence[tuple[str, ...]]:
    """The rows of a validation table, for a terminal: with the names that the configuration gives them."""
    make = other_cells if other else cells
    return [(f"{line['row']}{_radius(line)}", *make(found, line)[1:]) for line in found["rows"]]


def _radius(line: dict[str, Any]) -> str:
    return "" if line["radius"] is None else f", {line['radius']} px"
