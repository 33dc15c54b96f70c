"""What the charts of the page show, as numbers: places in percent of a chart's width or height, and texts.

The template draws them, and the page's script hides what is filtered out. A chart without values is empty, and the
page leaves it out. Every mark belongs to an item, a numbered row of the table.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.answers.keeping_up import duration
from benchmarks.measures.figures import Quality, Stages, Sustained
from benchmarks.measures.latency import Latency
from benchmarks.page.axes import ChartAxis, Tick, from_zero, linear, logarithmic
from benchmarks.report import warnings
from benchmarks.report.table import TableEntry, shape_of
from runtime import metrics

BINS = 120
LANES = (50.0, 30.0, 70.0, 40.0, 60.0, 22.0, 78.0)  # heights in percent at which dots lie, so that few hide another
STAGES = (
    ("preprocess", "pre"),
    ("host_to_device", "copy in"),
    ("inference", "network"),
    ("device_to_host", "copy out"),
    ("postprocess", "blend"),
    ("labels", "labels"),
    ("objects", "objects"),
)


@dataclass(frozen=True)
class Item:
    """A row as all charts name it.

    where : what tells it from other rows beside its name, in words
    facts : what the filters know, by their names
    colour, shape : classes, 0 to 5; fill : 0 to 2; what they stand for, the legend says
    group : of rows whose quality compares
    """

    number: int
    entry: TableEntry
    label: str
    where: str
    facts: Mapping[str, str]
    colour: int
    shape: int
    fill: int
    group: int


@dataclass(frozen=True)
class ScatterPoint:
    """A row in a scatter plot; left, right, low and high are the ends of its spread."""

    item: Item
    cost: float
    worth: float
    x: float
    y: float
    left: float
    right: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Front:
    """The Pareto front of one group: the places of its corners, "x,y x,y ...", and the numbers of its rows."""

    group: int
    path: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Scatter:
    """Quality against a cost, where less cost and better quality are better. metric : what quality is"""

    id: str
    title: str
    metric: str
    cost: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    points: tuple[ScatterPoint, ...]
    fronts: tuple[Front, ...]

    @property
    def best(self) -> set[int]:
        """The numbers of the rows that nothing beats."""
        return {number for front in self.fronts for number in front.numbers}


def scatter(
    id_: str,
    title: str,
    cost: str,
    unit: str,
    items: Sequence[Item],
    spread: Callable[[TableEntry], tuple[float, ...] | None],
) -> Scatter:
    """spread : an entry's cost with the ends of its spread (value, low, high); None where it was not measured"""
    metric = metrics.load(metrics.HEADLINES[0])
    drawn = [
        (item, costs, score)
        for item in items
        if (costs := spread(item.entry)) and (quality := item.entry.row.quality) and (score := quality.headline)
    ]
    ends = [score.interval or (score.mean, score.mean) for _, _, score in drawn]
    across = logarithmic(v for _, costs, _ in drawn for v in costs)
    up = linear((v for end in ends for v in end), floor=0.0, ceiling=None if metric.unit else 1.0)
    points = [
        ScatterPoint(
            item=item,
            cost=costs[0],
            worth=score.mean,
            x=across.place(costs[0]),
            y=100 - up.place(score.mean),
            left=across.place(costs[1]),
            right=across.place(costs[2]),
            low=100 - up.place(low),
            high=100 - up.place(high),
            text=f"{item.number}: {', '.join(filter(None, (item.label, item.where)))}: {metric.title} {score.mean:.4f} "
            f"({low:.4f} to {high:.4f}), {costs[0]:.4g} {unit}",
        )
        for (item, costs, score), (low, high) in zip(drawn, ends, strict=True)
    ]
    y_ticks = tuple(Tick(100 - tick.place, tick.text) for tick in up.ticks)
    axis = f"{cost}, {unit}"
    return Scatter(id_, title, metric.title, axis, across.ticks, y_ticks, tuple(points), tuple(_fronts(points)))


def _fronts(points: Sequence[ScatterPoint]) -> Iterable[Front]:
    for group in sorted({point.item.group for point in points}):
        ours = [point for point in points if point.item.group == group]
        best = [ours[i] for i in pareto_front([(point.cost, point.worth) for point in ours])]
        yield Front(group, _staircase(best), tuple(point.item.number for point in best))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one dominates, from the cheapest on.

    points : (cost, worth); a point dominates another if its cost is not higher, its worth not lower, and one
        differs. Of equal points all are kept."""
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    kept: list[int] = []
    for i in order:
        if not kept or points[i][1] > points[kept[-1]][1] or points[i] == points[kept[-1]]:
            kept.append(i)
    return kept


def _staircase(best: Sequence[ScatterPoint]) -> str:
    """Level from each point to the next one's cost, and up: what can be had for a cost."""
    corners: list[tuple[float, float]] = []
    for point in best:
        if corners:
            corners.append((point.x, corners[-1][1]))
        corners.append((point.x, point.y))
    if corners:
        corners.append((100.0, corners[-1][1]))
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in corners)


def groups(entries: Sequence[TableEntry]) -> list[int]:
    """A number for each entry, the same where the images are the same."""
    numbers: dict[object, int] = {}
    return [numbers.setdefault(warnings.images_of(entry.report), len(numbers)) for entry in entries]


# Charts with a line for each row.


@dataclass(frozen=True)
class ChartBlock:
    """A rectangle over the chart's height: where it begins, its width, and its height, all in percent."""

    x: float
    width: float
    height: float
    kind: int = 0
    text: str = ""


@dataclass(frozen=True)
class Dot:
    """One image."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Line:
    """A row's line in a chart: blocks, dots and marks, and the same in words."""

    item: Item
    text: str
    blocks: tuple[ChartBlock, ...] = ()
    dots: tuple[Dot, ...] = ()
    median: float | None = None
    tail: float | None = None


@dataclass(frozen=True)
class Strips:
    """A chart of lines along one axis."""

    id: str
    axis: str
    ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]


def latencies(items: Sequence[Item]) -> Strips:
    """How the times of frames are distributed."""
    timed = [(item, item.entry.row.timing) for item in items if item.entry.row.timing]
    samples = [(item, t.frame_ms, np.array([ms for one in t.rounds for ms in one.frame_ms])) for item, t in timed if t]
    samples = [(item, ms, values) for item, ms, values in samples if len(values)]
    scale = logarithmic(v for _, _, values in samples for v in (values.min(), values.max()))
    lines = [
        Line(
            item,
            _percentiles(ms),
            blocks=_histogram(values, scale),
            median=None if ms.p50 is None else scale.place(ms.p50),
            tail=None if ms.p95 is None else scale.place(ms.p95),
        )
        for item, ms, values in samples
    ]
    return Strips("latency", "ms per frame", scale.ticks, tuple(lines))


def _percentiles(ms: Latency) -> str:
    named = {"p50": ms.p50, "p95": ms.p95, "p99": ms.p99, "max": ms.max}
    return ", ".join(f"{name} {value:.3g}" for name, value in named.items() if value is not None) + " ms"


def _histogram(values: np.ndarray, scale: ChartAxis) -> tuple[ChartBlock, ...]:
    edges = np.geomspace(scale.low, scale.high, BINS + 1)
    counts, _ = np.histogram(values, edges)
    width = 100 / BINS
    return tuple(
        ChartBlock(
            i * width, width, 100 * count / counts.max(), text=f"{edges[i]:.3g} to {edges[i + 1]:.3g} ms: {count}"
        )
        for i, count in enumerate(counts.tolist())
        if count
    )


def stages(items: Sequence[Item]) -> Strips:
    """Where the time of a frame goes: the median of each stage, one after the other."""
    split = [(item, t.stages) for item in items if (t := item.entry.row.timing) and t.stages]
    lengths = [(item, _medians(medians)) for item, medians in split]
    scale = from_zero(sum(ms for _, _, ms in parts) for _, parts in lengths)
    lines = [Line(item, _stage_text(parts, item), blocks=_stacked(parts, scale)) for item, parts in lengths]
    return Strips("stages", "ms per frame", scale.ticks, tuple(lines))


def _medians(distributions: Stages) -> list[tuple[int, str, float]]:
    """Kind, name and median milliseconds of the stages that the backend tells apart."""
    stages = [(kind, name, getattr(distributions, field)) for kind, (field, name) in enumerate(STAGES)]
    return [(kind, name, stage.p50) for kind, name, stage in stages if stage is not None and stage.p50 is not None]


def _stage_text(parts: Sequence[tuple[int, str, float]], item: Item) -> str:
    row = item.entry.row
    return ", ".join(f"{name} {ms:.3g}" for _, name, ms in parts) + f" ms ({shape_of(row)}, until {row.until})"


def _stacked(parts: Sequence[tuple[int, str, float]], scale: ChartAxis) -> tuple[ChartBlock, ...]:
    blocks: list[ChartBlock] = []
    start = 0.0
    for kind, name, ms in parts:
        width = scale.place(start + ms) - scale.place(start)
        blocks.append(ChartBlock(scale.place(start), width, 100.0, kind, f"{name}: {ms:.3g} ms"))
        start += ms
    return tuple(blocks)


def scores(items: Sequence[Item]) -> Strips:
    """Every image's value of the first headline metric, with the mean and its interval."""
    metric = metrics.load(name := metrics.HEADLINES[0])
    scored = [(item, quality, quality.headline) for item in items if (quality := item.entry.row.quality)]
    values = {item.number: _values(quality, name) for item, quality, _ in scored}
    axis = linear((v for each in values.values() for _, v in each), floor=0.0, ceiling=None if metric.unit else 1.0)
    lines: list[Line] = []
    for item, _, score in scored:
        images = values[item.number]
        if not images or not score:
            continue
        low, high = score.interval or (score.mean, score.mean)
        band = ChartBlock(axis.place(low), axis.place(high) - axis.place(low), 100.0)
        dots = [
            Dot(axis.place(value), LANES[i % len(LANES)], f"{image}: {value:.4f}")
            for i, (image, value) in enumerate(images)
        ]
        worst = images[0 if metric.better == "higher" else -1][1]
        text = f"mean {score.mean:.4f} ({low:.4f} to {high:.4f}), worst {worst:.4f}"
        lines.append(Line(item, text, (band,), tuple(dots), axis.place(score.mean)))
    return Strips("scores", metric.title, axis.ticks, tuple(lines))


def _values(quality: Quality, metric: str) -> list[tuple[str, float]]:
    """Images and their values, the lowest first."""
    values = [(image.name, value) for image in quality.images if (value := image.value(metric)) is not None]
    return sorted(values, key=lambda pair: pair[1])


# Sustained runs.


@dataclass(frozen=True)
class Curve:
    """Values over time, "x,y x,y ..." in percent, with the first and the last as text."""

    name: str
    path: str
    text: str


@dataclass(frozen=True)
class Endurance:
    """A sustained run of one row: the time of frames over the minutes, with the sensors."""

    item: Item
    text: str
    curves: tuple[Curve, ...]


def endurance(items: Sequence[Item]) -> list[Endurance]:
    """The rows that were run for minutes."""
    return [Endurance(item, _endured(run), _curves(run)) for item in items if (run := item.entry.row.sustained)]


def _endured(run: Sustained) -> str:
    parts = [f"{run.frames} frames of {run.frame_shape[0]}x{run.frame_shape[1]} in {duration(run.seconds)}"]
    parts.append(f"{run.frames_per_s:.3g} frames/s")
    if run.drift_percent is not None:
        parts.append(f"drift {run.drift_percent:+.1f} % over the run")
    return ", ".join([*parts, *run.throttled])


def _curves(run: Sustained) -> tuple[Curve, ...]:
    times = [window.at_s for window in run.windows]
    frames = _curve("median frame", "ms", times, [window.p50_ms for window in run.windows], run.seconds)
    traces = [_curve(t.sensor, t.unit, t.at_s, t.values, run.seconds) for t in run.traces]
    return tuple(curve for curve in (frames, *traces) if curve)


def _curve(name: str, unit: str, times: Sequence[float], values: Sequence[float], seconds: float) -> Curve | None:
    if len(values) < 2:
        return None
    across, up = ChartAxis(0.0, max(seconds, *times) or 1.0), linear(values)
    path = " ".join(f"{across.place(t):.2f},{100 - up.place(v):.2f}" for t, v in zip(times, values, strict=True))
    text = f"first {values[0]:.4g}, last {values[-1]:.4g} {unit} ({min(values):.4g} to {max(values):.4g})"
    return Curve(name, path, text)
