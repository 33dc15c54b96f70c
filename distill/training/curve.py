"""The course of a training as a small picture: validation Dice above, loss below, both phases on one axis of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from distill.evaluation.figures import INK, new_figure, png, tidy
from distill.training.history import LOSS, PHASES, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.training.history import Moment

# Okabe and Ito's colours: told apart with any colour vision; the phases differ in marker and line, too.
COLOUR = {"float": "#0072B2", "qat": "#D55E00"}
MARKER = {"float": "o", "qat": "s"}
NAME = {"float": "float", "qat": "quantisation-aware"}
WINDOW = 15  # logged losses that one point of the smooth line averages


def draw(history: Sequence[Moment], title: str) -> bytes:
    """A PNG of 50 to 70 kB. EdgescopeError when matplotlib is not installed."""
    figure = new_figure(7.2, 4.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    starts = phase_starts(history)
    for phase, start in starts.items():
        _validation(above, _series(history, phase, VALIDATION), phase, start)
        _loss(below, _series(history, phase, LOSS), phase, start)
    above.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    above.set_ylabel("validation Dice")
    below.set_ylabel("loss (log)")
    below.set_yscale("log")
    below.set_xlabel("optimiser steps")
    _tidy((above, below), starts)
    return png(figure)


def phase_starts(history: Sequence[Moment]) -> dict[str, int]:
    """Where on the common axis each phase begins: after the last step of the one before."""
    starts: dict[str, int] = {}
    end = 0
    for phase in PHASES:
        steps = [moment.step for moment in history if moment.phase == phase]
        if steps:
            starts[phase] = end
            end += max(steps)
    return starts


def smooth(values: NDArray[np.float64], window: int = WINDOW) -> NDArray[np.float64]:
    """Centred moving average; the window shrinks towards both ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    reach = np.minimum(window // 2, np.minimum(places, len(values) - 1 - places))
    return (sums[places + reach + 1] - sums[places - reach]) / (2 * reach + 1)


def _series(history: Sequence[Moment], phase: str, key: str) -> NDArray[np.float64]:
    """Steps and values of one quantity, shape (2, n)."""
    pairs = [(moment.step, moment.values[key]) for moment in history if moment.phase == phase and key in moment.values]
    return np.array(pairs, float).reshape(-1, 2).T


def _validation(axes: Any, series: NDArray[np.float64], phase: str, start: int) -> None:
    steps, dice = series
    axes.plot(
        steps + start, dice, color=COLOUR[phase], marker=MARKER[phase], markersize=4, linewidth=1.6, label=NAME[phase]
    )
    if len(dice):
        note = f"{dice[-1]:.3f}"
        axes.annotate(
            note, (steps[-1] + start, dice[-1]), (0, -13), textcoords="offset points", ha="right", fontsize=8,
            color=COLOUR[phase],
        )  # fmt: skip


def _loss(axes: Any, series: NDArray[np.float64], phase: str, start: int) -> None:
    steps, loss = series
    axes.plot(steps + start, loss, color=COLOUR[phase], alpha=0.25, linewidth=0.7)
    axes.plot(steps + start, smooth(loss), color=COLOUR[phase], linewidth=1.6)


def _tidy(panels: tuple[Any, ...], starts: dict[str, int]) -> None:
    for axes in panels:
        tidy(axes, "y")
        axes.margins(x=0.02)
        if starts.get("qat"):
            axes.axvline(starts["qat"], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    if starts:
        panels[0].legend(loc="lower center", frameon=False, fontsize=8, labelcolor=INK)
