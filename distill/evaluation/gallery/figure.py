"""The contact sheet: each of the worst images in grey, with the outlines labelled and found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.evaluation.figures import new_figure, png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.evaluation.gallery.causes import Findings

# Okabe and Ito's colours, told apart with any colour vision; the lines differ in their dashes, too.
LABELLED, FOUND = "#56B4E9", "#E69F00"
COLUMNS = 4
PART = 384  # pixels a side: of a larger frame the part with most wrong pixels is shown, or nobody could see an outline
NAME = 24  # characters of an image's name that fit above it


@dataclass(frozen=True, eq=False)
class GalleryImage:
    """One image: float32 (H, W) in [0, 1], and the masks labelled and found (H, W)."""

    findings: Findings
    frame: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    found: NDArray[np.bool_]


def draw(panels: Sequence[GalleryImage], title: str) -> bytes:
    """A PNG; EdgescopeError when matplotlib is not installed."""
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(2.9 * columns, 3.1 * rows + 0.8)
    from matplotlib.lines import Line2D

    for axes in (grid := figure.subplots(rows, columns, squeeze=False)).flat:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        _panel(axes, panel)
    lines = [Line2D([], [], color=LABELLED), Line2D([], [], color=FOUND, linestyle="--")]
    figure.legend(lines, ["labelled", "found"], loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return png(figure)


def _panel(axes: Any, panel: GalleryImage) -> None:
    part = worst_part(panel.labelled != panel.found, PART)
    axes.imshow(panel.frame[part], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    _outline(axes, panel.labelled[part], LABELLED, "solid")
    _outline(axes, panel.found[part], FOUND, "dashed")
    found = panel.findings
    name = found.name if len(found.name) <= NAME else f"{found.name[: NAME - 1]}…"
    cut = panel.frame.shape != panel.frame[part].shape
    scores = f"Dice {found.dice:.3f}, AP {found.ap50:.3f}{' (part of it)' * cut}"
    axes.set_title(f"{name}\n{scores}", fontsize=8, loc="left", parse_math=False)


def _outline(axes: Any, mask: NDArray[np.bool_], colour: str, style: str) -> None:
    """Along the sides of pixels between the mask and what is around it, the image's border included."""
    padded = np.pad(mask, 1).astype(np.float32)
    if not mask.any():
        return
    rows, cols = (np.arange(-1, side + 1) for side in mask.shape)
    axes.contour(cols, rows, padded, levels=[0.5], colors=colour, linestyles=style, linewidths=0.9)


def worst_part(wrong: NDArray[np.bool_], side: int) -> tuple[slice, slice]:
    """Where in a frame (H, W) a square of this side holds most wrong pixels; all of a frame that is no larger."""
    height, width = (min(side, full) for full in wrong.shape)
    sums = np.pad(wrong.astype(np.int64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    held = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    row, col = np.unravel_index(int(held.argmax()), held.shape)
    return slice(int(row), int(row) + height), slice(int(col), int(col) + width)
