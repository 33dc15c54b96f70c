"""The study as one picture: a row a line, a dot a seed, the mean as a bar; the first two metrics side by side.

Where the study has few labels, a third panel shows what is gained at each share of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distill.evaluation.figures import new_figure, png, tidy
from distill.studies import rows
from distill.studies.score import VALIDATION

if TYPE_CHECKING:
    from collections.abc import Sequence

# Okabe and Ito's colours: told apart with any colour vision; what is taught differs in marker, too.
COLOUR = {"trivial": "#777777", "teacher": "#009E73", "undistilled": "#0072B2", "distilled": "#D55E00"}
MARKER = {"trivial": "x", "teacher": "D", "undistilled": "o", "distilled": "s"}
PANELS = 2


def draw(found: dict[str, Any]) -> bytes:
    """A PNG; EdgescopeError when matplotlib is not installed."""
    lines = found["rows"]
    shares = _shares(lines)
    height = 1.6 + 0.3 * len(lines) + (2.6 if shares else 0)
    figure = new_figure(10.5, height)
    panels = figure.subfigures(2, 1, height_ratios=(1.0 + 0.3 * len(lines), 2.6)) if shares else [figure]
    left, right = panels[0].subplots(1, PANELS, sharey=True)
    shown = list(found["metrics"].items())[:PANELS]
    for axes, (metric, title) in zip((left, right), shown, strict=True):
        _rows(axes, lines, metric, title)
    left.set_yticks(range(len(lines)), [line["title"] for line in lines], fontsize=8)
    left.invert_yaxis()
    panels[0].legend(*_legend(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.suptitle(f"{found['title']} ({found['seeds']} seeds)", x=0.01, ha="left", fontsize=11, fontweight="bold")
    if shares:
        for axes, (metric, title) in zip(panels[1].subplots(1, PANELS), shown, strict=True):
            _curve(axes, lines, shares, metric, title)
    return png(figure)


def kind_of(line: dict[str, Any]) -> str:
    """Which colour and marker a row gets."""
    if line["kind"] != "student":
        return line["kind"]
    return "undistilled" if "undistilled" in line["row"] or line["row"] == "boundary" else "distilled"


def _rows(axes: Any, lines: Sequence[dict[str, Any]], figure: str, title: str) -> None:
    for place, line in enumerate(lines):
        scores, kind = line["scores"][VALIDATION][figure], kind_of(line)
        places = [place] * len(scores["by_seed"])
        axes.scatter(scores["by_seed"], places, s=22, color=COLOUR[kind], marker=MARKER[kind], alpha=0.6, linewidths=1)
        axes.plot([scores["mean"]] * 2, [place - 0.32, place + 0.32], color=COLOUR[kind], linewidth=2)
    alone = [line for line in lines if line["row"] == "undistilled"]
    if alone:
        axes.axvline(alone[0]["scores"][VALIDATION][figure]["mean"], color=COLOUR["undistilled"], linewidth=0.8, ls=":")
    axes.set_xlabel(title, fontsize=9)
    tidy(axes, "x")


def _curve(axes: Any, lines: Sequence[dict[str, Any]], shares: Sequence[float], figure: str, title: str) -> None:
    """Undistilled and distilled students over the share of images that keep their labels."""
    for (row, name), marker, style in zip(_curves(), "os^vDP", ("-", "-", "--", "--", ":", ":"), strict=False):
        kind = "undistilled" if row == "undistilled" else "distilled"
        found = {line["labelled"]: line for line in lines if line["row"].partition("-")[0] == row}
        points = [(share, found[share]["scores"][VALIDATION][figure]) for share in shares if share in found]
        axes.errorbar(
            [100 * share for share, _ in points], [score["mean"] for _, score in points],
            [score["sd"] or 0 for _, score in points], color=COLOUR[kind], marker=marker, capsize=3, label=name,
            linestyle=style,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks([100 * share for share in shares], [f"{100 * share:g} %" for share in shares])
    axes.minorticks_off()
    axes.set_xlabel("training images with labels", fontsize=9)
    axes.set_ylabel(title, fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes, "y")


def _curves() -> list[tuple[str, str]]:
    return [(row.name, row.curve) for row in rows.ROWS if row.curve]


def _shares(lines: Sequence[dict[str, Any]]) -> list[float]:
    shares = sorted({line["labelled"] for line in lines if line["kind"] == "student"})
    return shares if len(shares) > 1 else []


def _legend() -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    kinds = list(COLOUR)
    return [Line2D([], [], color=COLOUR[k], marker=MARKER[k], linestyle="") for k in kinds], kinds
