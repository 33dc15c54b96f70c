"""The Pareto figure: quality against the time of a tile for all artefacts of some reports, and rivals' times as lines.

A panel for each device and size of tile, for only there are times comparable. It is told apart without colours, too: a
student has a shape, an int8 artefact is filled, a float one open.
"""

import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.page.charts import pareto_front
from benchmarks.report import warnings
from benchmarks.report.report import Report
from benchmarks.report.table import TableEntry, reports_of
from benchmarks.rivals.network import NETWORK
from benchmarks.rivals.record import NetworkResult, RivalComparison
from runtime import metrics
from runtime.errors import InputError
from runtime.system import extras

# Okabe and Ito's colours, of different brightness, so that they stay apart in print; shapes for students.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#CC79A7", "#009E73")
SHAPES = "osD^vP*Xhp"
FILLS: dict[str, Any] = {"int8": "full", "mixed": "left", "fp16": "bottom", "fp32": "none"}
INK, FAINT = "#333333", "#DDDDDD"
LINES = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 1)))
WRAP = 110  # characters of the caption's lines


@dataclass(frozen=True)
class FigurePoint:
    """An artefact: milliseconds of a tile, quality with the ends of its interval."""

    student: str
    target: str
    precision: str
    ms: float
    worth: float
    low: float
    high: float


@dataclass(frozen=True)
class RivalLine:
    """A rival's network: milliseconds of a frame as large as the panel's tiles."""

    name: str
    ms: float


@dataclass(frozen=True)
class ParetoPanel:
    """What is timed on one device for one size of tile."""

    device: str
    tile: tuple[int, int]
    points: tuple[FigurePoint, ...]
    rivals: tuple[RivalLine, ...]

    @property
    def front(self) -> list[int]:
        """Numbers of the points that no other one beats in both, the fastest first."""
        return pareto_front([(point.ms, point.worth) for point in self.points])


def panels(shown: Sequence[TableEntry], rivals: RivalComparison | None = None) -> list[ParetoPanel]:
    """What the figure shows.

    InputError where the reports are of different images, where no row has both figures, and where rivals were timed on
    another machine or in another size than every row.
    """
    reports = reports_of(shown)
    if len({warnings.images_of(report) for report in reports}) > 1:
        msg = "The reports are of different images: their scores do not compare; draw a figure of each."
        raise InputError(msg)
    drawn = [(entry, point) for entry in shown if (point := _point(entry))]
    if not drawn:
        msg = (
            "No row of the reports has both a score and a time; measure with: python -m benchmarks run --data NAME:PATH"
        )
        raise InputError(msg)
    places = list(dict.fromkeys((entry.report.device_id, entry.row.tile) for entry, _ in drawn))
    shown_panels = [_panel(device, tile, drawn, rivals) for device, tile in places]
    if rivals and not any(panel.rivals for panel in shown_panels):
        msg = (
            f"The rivals were timed on {rivals.device.id} at sides "
            f"{', '.join(str(side) for side in sorted({one.side for one in rivals.results}))}, and no row was: "
            f"{'; '.join(f'{device} at {tile[0]}x{tile[1]}' for device, tile in places)}. Time them there, too."
        )
        raise InputError(msg)
    return shown_panels


def _point(entry: TableEntry) -> FigurePoint | None:
    row = entry.row
    score = row.quality and row.quality.headline
    if not score or not row.timing or row.timing.tile_ms.p50 is None:
        return None
    low, high = score.interval or (score.mean, score.mean)
    return FigurePoint(row.student, row.target, row.precision, row.timing.tile_ms.p50, score.mean, low, high)


def _panel(
    device: str, tile: tuple[int, int], drawn: Sequence[tuple[TableEntry, FigurePoint]], rivals: RivalComparison | None
) -> ParetoPanel:
    points = [point for entry, point in drawn if (entry.report.device_id, entry.row.tile) == (device, tile)]
    lines: list[RivalLine] = []
    if rivals and rivals.device.id == device:
        lines = [
            RivalLine(one.title, one.stages[NETWORK])
            for one in rivals.results
            if _is_rival(one, tile) and NETWORK in one.stages
        ]
    return ParetoPanel(device, tile, tuple(points), tuple(sorted(lines, key=lambda line: line.ms)))


def _is_rival(one: NetworkResult, tile: tuple[int, int]) -> bool:
    return one.student is None and tile == (one.side, one.side)


def caption(shown: Sequence[TableEntry], shown_panels: Sequence[ParetoPanel], rivals: RivalComparison | None) -> str:
    """What the figure was measured on, and what stands against it."""
    reports = reports_of(shown)
    drawn = sum(len(panel.points) for panel in shown_panels)
    sentences = [
        f"{_title()}: mean over {reports[0].data.images} images of {reports[0].data.spec.partition(':')[0]}, bars: 95 "
        f"% interval. Time: median of a tile on {'; '.join(dict.fromkeys(_machine(report) for report in reports))}.",
        "Step line: the Pareto front.",
    ]
    if rivals:
        sentences.append(f"Dashed: the networks of others alone, untrained, {rivals.threads} threads.")
    if missing := len(shown) - drawn:
        sentences.append(f"Not drawn: {missing} artefact{'s' * (missing != 1)} without a score or a time of their own.")
    return " ".join([*sentences, *(f"Warning: {warning}." for warning in warnings.of_reports(reports))])


def _title() -> str:
    return metrics.load(metrics.HEADLINES[0]).title


def _machine(report: Report) -> str:
    device = report.device
    name = device.board or device.cpu
    held = " held back" if report.constrained else ""
    return f"{name}{held}, {device.usable_cores} cores, {device.os}"


def draw(shown: Sequence[TableEntry], rivals: RivalComparison | None = None, form: str = "svg") -> bytes:
    """The figure. form : svg or png; EdgescopeError when matplotlib is not installed."""
    shown_panels = panels(shown, rivals)
    matplotlib = extras.load("matplotlib", extra="figures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "edgescope"}):
        figure = Figure(figsize=(7.6 * len(shown_panels), 5.4), dpi=110, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        students = list(dict.fromkeys(point.student for panel in shown_panels for point in panel.points))
        targets = list(dict.fromkeys(point.target for panel in shown_panels for point in panel.points))
        for axes, panel in zip(figure.subplots(1, len(shown_panels), squeeze=False)[0], shown_panels, strict=True):
            _draw_panel(axes, panel, students, targets)
        handles = list(
            _legend(students, targets, sorted({p.precision for panel in shown_panels for p in panel.points}))
        )
        figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
        figure.supxlabel(
            textwrap.fill(caption(shown, shown_panels, rivals), WRAP), x=0.01, ha="left", fontsize=7, color=INK
        )
        picture = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(picture, format=form, metadata=metadata)
    return picture.getvalue()


def _draw_panel(axes: Any, panel: ParetoPanel, students: Sequence[str], targets: Sequence[str]) -> None:
    best = [panel.points[number] for number in panel.front]
    axes.step([p.ms for p in best], [p.worth for p in best], where="post", color=INK, linewidth=1.2, zorder=1)
    for point in panel.points:
        style = style_of(point.student, point.target, point.precision, students, targets)
        axes.vlines(point.ms, point.low, point.high, color=style["color"], linewidth=0.8, alpha=0.6, zorder=2)
        axes.plot([point.ms], [point.worth], linestyle="", zorder=3, **style)
    named = {point.student: point for point in reversed(best)}.values()  # where a student is fastest
    for number, point in enumerate(sorted(named, key=lambda point: point.ms)):
        place = (4, -12) if number % 2 else (4, 5)  # neighbours' names do not meet
        axes.annotate(point.student, (point.ms, point.worth), place, textcoords="offset points", fontsize=8, color=INK)
    for rival, line in zip(panel.rivals, LINES * len(panel.rivals), strict=False):
        axes.axvline(rival.ms, color=INK, linewidth=1.0, linestyle=line, zorder=0)
        axes.annotate(
            f"{rival.name}, {rival.ms:.3g} ms", (rival.ms, 0.02), xycoords=("data", "axes fraction"), xytext=(-3, 0),
            textcoords="offset points", rotation=90, ha="right", va="bottom", fontsize=7, color=INK,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel(f"ms for a tile of {panel.tile[0]}x{panel.tile[1]} pixels (log)", fontsize=9)
    axes.set_ylabel(_title(), fontsize=9)
    axes.set_title(panel.device, loc="left", fontsize=9, color=INK)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")  # a narrow range has no power of ten
    axes.tick_params(which="minor", colors=INK, labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def style_of(
    student: str, target: str, precision: str, students: Sequence[str], targets: Sequence[str]
) -> dict[str, Any]:
    return {
        "marker": SHAPES[students.index(student) % len(SHAPES)],
        "color": COLOURS[targets.index(target) % len(COLOURS)],
        "fillstyle": FILLS.get(precision, "full"),
        "markersize": 8,
    }


def _legend(students: Sequence[str], targets: Sequence[str], precisions: Sequence[str]) -> Iterator[Any]:
    """Shapes name students, colours targets, fillings precisions."""
    from matplotlib.lines import Line2D

    for student in students:
        shape = SHAPES[students.index(student) % len(SHAPES)]
        yield Line2D([], [], linestyle="", marker=shape, color=INK, fillstyle="none", label=student)
    for target in targets:
        colour = COLOURS[targets.index(target) % len(COLOURS)]
        yield Line2D([], [], linestyle="", marker="s", color=colour, label=target)
    for precision in precisions:
        yield Line2D(
            [], [], linestyle="", marker="o", color=INK, fillstyle=FILLS.get(precision, "full"), label=precision
        )
