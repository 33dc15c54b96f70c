"""Figures as PNG, drawn without a screen. matplotlib is imported when one is drawn."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from runtime.system import extras

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT = "#333333", "#DDDDDD"


def new_figure(width: float, height: float, dpi: int = 110) -> Figure:
    """An empty figure, in inches. EdgescopeError when matplotlib is not installed."""
    extras.load("matplotlib", extra="distill")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Any, grid: str) -> None:
    """No frame above and on the right, and faint lines across one axis, "x" or "y"."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(axis=grid, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def png(figure: Figure) -> bytes:
    """The file: the same figure gives the same bytes."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
