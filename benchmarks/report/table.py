"""One table over the rows of one or several reports: the same columns on the screen, in Markdown, CSV and HTML.

A cell that was not measured is '-'. What has to be known to read a figure stands in the notes below the table.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from benchmarks.measures.figures import Quality
from benchmarks.measures.latency import upper_bound
from benchmarks.report import warnings
from benchmarks.report.absent import MARK, Absent
from benchmarks.report.names import machine_name, name_machines
from benchmarks.report.report import Protocol, Report, Row
from runtime import metrics

MISSING = "-"
FASTER = "faster"  # times, per frame, than the report's reference row, paired by round: so everywhere
HUGE = 1e7  # beyond it a figure is written with a power of ten
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # a spreadsheet runs a cell that begins so
INTERVAL = "95 %"
BADGES = (99.9, 99.0)  # percent of the fp32 student's Dice
KEY = (  # what a page shows first
    "frame p50 ms",
    "frame p95 ms",
    "frames/s",
    "faster",
    "tile p50 ms",
    "peak MB",
    "file MB",
    "weights M",
    "GMAC",
    "mJ/frame",
    "agreement",
)


@dataclass(frozen=True)
class TableEntry:
    """A row, with the report that it comes from, and what the machine is called among those that are shown."""

    report: Report
    row: Row
    machine: str = ""


@dataclass(frozen=True)
class Column:
    """A heading, the value below it (None: not measured) and its text.

    always : shown even if all rows are equal
    wide : shown only where there is room, in a page and in CSV, and there only if a row has it
    """

    title: str
    value: Callable[[TableEntry], Any]
    show: Callable[[Any], str] = str
    always: bool = True
    wide: bool = False

    def cell(self, entry: TableEntry) -> str:
        """The value as text in one line, whatever characters a report holds."""
        value = self.value(entry)
        return MISSING if value is None else printable(self.show(value))


def printable(text: str) -> str:
    """The text without line breaks and control characters, which would act on a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def entries(reports: Sequence[Report]) -> list[TableEntry]:
    """All rows of all reports, in their order."""
    named = zip(reports, name_machines(reports), strict=True)
    return [TableEntry(report, row, name) for report, name in named for row in report.rows]


def reports_of(shown: Iterable[TableEntry]) -> list[Report]:
    """The reports that rows come from, each once."""
    return list({id(entry.report): entry.report for entry in shown}.values())


def columns(shown: Sequence[TableEntry], absent: Sequence[Absent] = (), *, wide: bool = False) -> list[Column]:
    """The columns that tell something: device, data and student only where the rows differ in them."""
    every = [*IDENTITY, *metric_columns(shown), *COSTS]
    if len({entry.report.protocol.reference for entry in shown}) > 1 and not wide:
        every = [column for column in every if column.title != FASTER]  # than different rows: no one figure
    return [column for column in every if _tells(column, shown, absent, wide=wide)]


def _tells(column: Column, shown: Sequence[TableEntry], absent: Sequence[Absent], *, wide: bool) -> bool:
    values = {column.cell(entry) for entry in shown}
    if column.wide:
        return wide and values != {MISSING}
    return column.always or len(values) > 1 or (column.title == DEVICE and bool(absent))


def cells(shown: Sequence[TableEntry], absent: Sequence[Absent] = (), *, wide: bool = False) -> list[list[str]]:
    """Headings, a line per row, and a line per device that was not measured."""
    chosen = columns(shown, absent, wide=wide)
    lines = [[column.cell(entry) for column in chosen] for entry in shown]
    return [[column.title for column in chosen], *lines, *(_absent_line(one, chosen) for one in absent)]


def key_columns(shown: Sequence[TableEntry]) -> list[Column]:
    """The figures of a row that a page shows first: the main metrics, and of the costs those of KEY."""
    scores = [replace(column, wide=False) for column in metric_columns(shown) if not column.wide]
    named = {column.title: column for column in COSTS}
    costs = [replace(named[title], wide=False) for title in KEY if title in named]
    return [*scores, *(column for column in costs if {column.cell(entry) for entry in shown} != {MISSING})]


def columns_of_all(shown: Sequence[TableEntry]) -> list[Column]:
    """Every column of which a row has the figure."""
    every = [*IDENTITY, *metric_columns(shown), *COSTS]
    return [column for column in every if any(column.cell(entry) != MISSING for entry in shown)]


def _absent_line(one: Absent, chosen: Sequence[Column]) -> list[str]:
    cells = {DEVICE: one.device, "target": one.target, "backend": MARK}
    return [printable(cells.get(column.title, MISSING)) for column in chosen]


def stage_cells(shown: Sequence[TableEntry]) -> list[list[str]]:
    """Headings, and a line per row whose frames were taken apart: the median milliseconds of each stage."""
    split = [entry for entry in shown if entry.row.timing and entry.row.timing.stages]
    named = [column for column in FRAME if column.always or len({column.cell(entry) for entry in split}) > 1]
    return [[column.title for column in named], *([column.cell(entry) for column in named] for entry in split)]


def to_dict(shown: Sequence[TableEntry], absent: Sequence[Absent] = ()) -> dict[str, Any]:
    """What is printed and more, with numbers as numbers, and null where nothing was measured."""
    chosen = columns(shown, absent, wide=True)
    rows = [{column.title: column.value(entry) for column in chosen} for entry in shown]
    missing = [{"device": one.device, "target": one.target, "command": one.command} for one in absent]
    return {"rows": rows, "not_measured": missing, "notes": notes(shown, absent)}


def markdown(shown: Sequence[TableEntry], absent: Sequence[Absent] = ()) -> str:
    """A pipe table, followed by the notes. What a report holds is text, and no markup of the document."""
    head, *lines = [[literal(text) for text in line] for line in cells(shown, absent)]
    numeric = [all(_is_number(line[i]) for line in lines) for i in range(len(head))]
    table = markdown_table(head, lines, numeric)
    return "\n".join([*table, "", *(f"- {literal(note)}" for note in notes(shown, absent))]) + "\n"


def markdown_table(head: Sequence[str], lines: Iterable[Sequence[str]], numeric: Sequence[bool]) -> list[str]:
    """The lines of a pipe table. numeric : which columns are aligned to the right"""
    rule = ["---:" if right else "---" for right in numeric]
    return ["| " + " | ".join(line) + " |" for line in (head, rule, *lines)]


def literal(text: str) -> str:
    """Text that is no markup in a Markdown table."""
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", r"\|").replace("`", "'")


def _is_number(text: str) -> bool:
    return text == MISSING or text.rstrip("x").replace(".", "", 1).replace("-", "", 1).isdigit()


def to_csv(shown: Sequence[TableEntry], absent: Sequence[Absent] = ()) -> str:
    """Comma-separated, with all columns, without the notes.

    Numbers are numbers, an interval is two of them, and what was not measured is empty, so that a spreadsheet computes
    with every column. Text that a spreadsheet would run as a formula begins with an apostrophe."""
    chosen = columns_of_all(shown)
    fields = [[field for field, _ in _csv_fields(column, None)] for column in chosen]
    head = [column.title for column in chosen]
    wide = [[f"{title}{suffix}" for suffix in suffixes] for title, suffixes in zip(head, fields, strict=True)]
    lines = [["row", *(title for titles in wide for title in titles)]]
    lines += [[printable(e.row.name), *(v for c in chosen for _, v in _csv_fields(c, c.value(e)))] for e in shown]
    for one in absent:
        known = {DEVICE: one.device, "target": one.target, "backend": MARK}
        lines.append(["", *(known.get(title, "") for titles in wide for title in titles)])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[harmless(str(cell)) for cell in line] for line in lines])
    return text.getvalue()


def _csv_fields(column: Column, value: Any) -> list[tuple[str, str]]:
    """The suffixes of a column's titles in a spreadsheet, with the values; None: an empty cell."""
    if column.show is not str and column.title.endswith(INTERVAL):
        low, high = value or (None, None)
        return [(" from", _number(low)), (" to", _number(high))]
    return [("", _number(value) if isinstance(value, (int, float)) or value is None else printable(str(value)))]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def harmless(cell: str) -> str:
    """The cell, begun with an apostrophe where a spreadsheet would compute it; numbers stay numbers."""
    text = cell.lstrip()  # which a spreadsheet skips
    if not text.startswith(FORMULA):
        return cell
    try:
        return cell if isfinite(float(text)) and text[0] in "+-" else f"'{cell}"
    except ValueError:
        return f"'{cell}"


def notes(shown: Sequence[TableEntry], absent: Sequence[Absent] = ()) -> list[str]:
    """The notes below a table, each once."""
    lines = [*(note for entry in shown for note in _notes(entry)), *warnings.of_reports(reports_of(shown))]
    return list(dict.fromkeys([*lines, *(f"{one.device}: {one.text}" for one in absent)]))


def _notes(entry: TableEntry) -> Iterable[str]:
    row, data, protocol = entry.row, entry.report.data, entry.report.protocol
    if row.quality:
        yield f"{data.images} images of {data.spec}, labels: {row.quality.labels}; {_counted(row.quality)}"
    else:
        yield f"{data.images} images of {data.spec}, without labels"
    if data.left_out:
        yield "left out: " + ", ".join(f"{count} {reason}" for reason, count in data.left_out.items())
    if row.timing:
        yield (
            f"frame: {shape_of(row)}, timed until {row.until}; tile: the network alone on {tile_of(row)}; "
            f"{protocol.rounds} fresh processes with {protocol.repeats} frames each{_paced(protocol)}; "
            f"{_compared(protocol)} (per frame, paired by round)"
        )
    if protocol.also_bf16 and not entry.report.device.has_bf16:
        yield "bf16 was not run: this processor has no bf16 instructions"
    yield from _endurance(row)
    if row.agreement and not row.agreement.within_tolerance:
        yield f"{row.name}: the outputs for the probes exceed the artefact's tolerance"
    if row.quality and row.quality.mismatch:
        yield f"{row.student}: {row.quality.mismatch}"
    if row.stand_in:
        yield f"{row.target}: checked here with {row.backend}, not timed: {row.stand_in}"
    if row.error:
        yield f"{row.name}: {row.error}"


def _endurance(row: Row) -> Iterable[str]:
    """The results of the sustained run and of the energy counter."""
    if run := row.sustained:
        drift = "" if run.drift_percent is None else f", drift {run.drift_percent:+.1f} % over the run"
        heat = "".join(f", {words}" for words in run.throttled)
        yield f"{row.name}: {run.frames_per_s:.3g} frames/s sustained over {run.seconds / 60:.3g} min{drift}{heat}"
    if row.timing and row.energy is None:
        yield f"energy was not measured: {row.not_measured.get('energy', 'the report does not say why')}"
    if row.energy:
        more = row.energy.joules_per_frame
        frame = "no more than idle" if more is None else f"{1e3 * more:.3g} mJ a frame above idle"
        watts = f"{row.energy.busy_w:.3g} W busy, {row.energy.idle_w:.3g} W idle"
        yield f"{row.name}: {frame}, {watts} ({row.energy.sensor})"


def _paced(protocol: Protocol) -> str:
    pace = "" if protocol.pace is None else f", a frame every {1e3 / protocol.pace:.4g} ms, like a camera"
    return pace + (f", for at least {protocol.least_s:g} s a row" if protocol.least_s else "")


def _compared(protocol: Protocol) -> str:
    """The number of threads, and the reference row of "faster"; both differ between the rows of a matrix."""
    if protocol.reference is None:
        return "threads: as listed; faster: against the first row of the same tile size and threads"
    return f"threads: {protocol.threads or 'as the backend chooses'}; faster: against {protocol.reference}"


def _counted(quality: Quality) -> str:
    """How the headline figures were counted."""
    return "; ".join(quality.definitions[name] for name in metrics.HEADLINES if name in quality.definitions)


def precision_of(entry: TableEntry) -> str:
    """The artefact's, and what it was run in where that is another one."""
    hint = entry.row.precision_hint
    return f"{entry.row.precision}, run in {hint}" if hint else entry.row.precision


def backend_of(entry: TableEntry) -> str:
    """What ran it, marked where that is not its own."""
    if entry.row.backend is None:
        return "failed"
    return f"{entry.row.backend} (CPU check)" if entry.row.stand_in else entry.row.backend


def device_of(entry: TableEntry) -> str:
    """What the machine is called."""
    return entry.machine or machine_name(entry.report)


def tile_of(row: Row) -> str:
    """Height and width of the tiles that were timed."""
    return f"{row.tile[0]}x{row.tile[1]}"


def shape_of(row: Row) -> str:
    """Height and width of the frame that was timed."""
    return "-" if row.timing is None else "{}x{}".format(*row.timing.frame_shape)


def _per_second(entry: TableEntry) -> float | None:
    p50 = entry.row.timing and entry.row.timing.frame_ms.p50
    return 1e3 / p50 if p50 else None


def _stage(*fields: str) -> Callable[[TableEntry], float | None]:
    """The median milliseconds of a stage, or of several together, of which a backend may not tell all apart."""

    def value(entry: TableEntry) -> float | None:
        split = entry.row.timing and entry.row.timing.stages
        medians = [stage.p50 for name in fields if split and (stage := getattr(split, name)) and stage.p50 is not None]
        return sum(medians) if medians else None

    return value


def _decimals(number: int, unit: str = "") -> Callable[[float], str]:
    return lambda value: f"{value:.{number}f}{unit}" if abs(value) < HUGE else f"{value:.3g}{unit}"


def _milliseconds(value: float) -> str:
    return f"{value:.3g}" if value >= HUGE else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _energy(entry: TableEntry) -> float | None:
    energy = entry.row.energy
    return None if energy is None or energy.joules_per_frame is None else 1e3 * energy.joules_per_frame


def _p90_bound(entry: TableEntry) -> float | None:
    """The p90 of a frame is at most this, with a confidence of 99 %."""
    timing = entry.row.timing
    return timing and upper_bound([ms for one in timing.rounds for ms in one.frame_ms], 90)


def _of_fp32(entry: TableEntry) -> float | None:
    """Percent of the fp32 student's Dice that the compiled artefact keeps."""
    accuracy = entry.row.accuracy
    name = metrics.HEADLINES[0]
    scores = [s.get(name) for s in (accuracy.scores, accuracy.float_scores)] if accuracy else []
    compiled, reference = (score and score.mean for score in scores) if scores else (None, None)
    return None if compiled is None or not reference else 100 * compiled / reference


def _kept(entry: TableEntry) -> str | None:
    """The quality targets of MLPerf Inference, as a badge: what is kept of the fp32 student's Dice at least."""
    percent = _of_fp32(entry)
    if percent is None:
        return None
    return next((f"{badge:g} %" for badge in BADGES if percent >= badge), f"under {BADGES[-1]:g} %")


def _division(entry: TableEntry) -> str | None:
    """As in MLPerf: closed is the network of the report's reference row, open is another one."""
    students = {row.name: row.student for row in entry.report.rows}
    reference = students.get(entry.report.protocol.reference or "")
    return None if reference is None else "closed" if entry.row.student == reference else "open"


def _int8(entry: TableEntry) -> str:
    operators = entry.row.operators
    return f"{operators.int8_convolutions}/{operators.convolutions}"


def metric_columns(shown: Sequence[TableEntry]) -> list[Column]:
    """A column for each metric that a row has and this installation knows, the headlines first, and one interval."""
    measured = {name for entry in shown if entry.row.quality for name in entry.row.quality.metrics}
    others = sorted(measured.intersection(metrics.names()) - set(metrics.HEADLINES))
    first, *more = (_metric(name, wide=name in others) for name in (*metrics.HEADLINES, *others))
    return [
        first,
        Column(f"{first.title} 95 %", _interval, _ends(metrics.load(metrics.HEADLINES[0])), wide=True),
        *more,
    ]


def _metric(name: str, *, wide: bool) -> Column:
    metric = metrics.load(name)

    def value(entry: TableEntry) -> float | None:
        return entry.row.quality and entry.row.quality.figure(name)

    return Column(metric.title, value, _decimals(metric.decimals), wide=wide)


def _interval(entry: TableEntry) -> tuple[float, float] | None:
    score = entry.row.quality and entry.row.quality.metrics.get(metrics.HEADLINES[0])
    return score and score.interval


def _ends(metric: metrics.Metric) -> Callable[[tuple[float, float]], str]:
    show = _decimals(metric.decimals)
    return lambda ends: f"{show(ends[0])} to {show(ends[1])}"


DEVICE = "device"

IDENTITY = (
    Column(DEVICE, device_of, always=False),
    Column("data", lambda e: e.report.data.spec, always=False),
    Column("student", lambda e: e.row.student, always=False),
    Column("target", lambda e: e.row.target),
    Column("precision", precision_of),
    Column("backend", backend_of),
    Column("tile", lambda e: tile_of(e.row), always=False),
    Column("threads", lambda e: e.row.threads, always=False),
    Column("division", _division, wide=True),
)

STAGES = (
    Column("pre ms", _stage("preprocess"), _milliseconds),
    Column("network ms", _stage("host_to_device", "inference", "device_to_host"), _milliseconds),
    Column("blend ms", _stage("postprocess"), _milliseconds),
    Column("labels ms", _stage("labels"), _milliseconds),
    Column("objects ms", _stage("objects"), _milliseconds),
)

FRAME = (  # where the time of a frame goes
    Column("row", lambda e: e.row.name),
    Column(DEVICE, device_of, always=False),
    Column("frame", lambda e: shape_of(e.row)),
    Column("until", lambda e: e.row.until),
    Column("first ms", lambda e: e.row.timing and e.row.timing.first_frame_ms, _milliseconds),
    *STAGES,
    Column("total ms", _stage("total"), _milliseconds),
    Column("frames/s", _per_second, _decimals(1)),
)

COSTS = (
    Column("of fp32 %", _of_fp32, _decimals(2), wide=True),
    Column("of fp32 at least", _kept, wide=True),
    Column("drop, points", lambda e: e.row.accuracy and e.row.accuracy.drop_points, _decimals(2), wide=True),
    Column("int8 convolutions", _int8, wide=True),
    Column("agreement", lambda e: e.row.agreement and e.row.agreement.mask_dice, _decimals(4)),
    Column("until", lambda e: e.row.timing and e.row.until, always=False),
    Column("frame p50 ms", lambda e: e.row.timing and e.row.timing.frame_ms.p50, _milliseconds),
    Column("frame p95 ms", lambda e: e.row.timing and e.row.timing.frame_ms.p95, _milliseconds),
    Column("frame p90 ms", lambda e: e.row.timing and e.row.timing.frame_ms.p90, _milliseconds, wide=True),
    Column("p90 at most ms", _p90_bound, _milliseconds, wide=True),
    Column("frame p99 ms", lambda e: e.row.timing and e.row.timing.frame_ms.p99, _milliseconds, wide=True),
    Column("frames/s", _per_second, _decimals(1), wide=True),
    *(replace(column, wide=True) for column in STAGES),
    Column("tile p50 ms", lambda e: e.row.timing and e.row.timing.tile_ms.p50, _milliseconds),
    Column("tile p95 ms", lambda e: e.row.timing and e.row.timing.tile_ms.p95, _milliseconds, wide=True),
    Column("tile p99 ms", lambda e: e.row.timing and e.row.timing.tile_ms.p99, _milliseconds, wide=True),
    Column("tile jitter ms", lambda e: e.row.timing and e.row.timing.tile_ms.iqr, _milliseconds, wide=True),
    Column(FASTER, lambda e: e.row.timing and e.row.timing.speedup, _decimals(2, "x")),
    Column("load ms", lambda e: e.row.timing and e.row.timing.load_ms, _decimals(0), wide=True),
    Column("first frame ms", lambda e: e.row.timing and e.row.timing.first_frame_ms, _decimals(0), wide=True),
    Column("tiles/s", lambda e: e.row.throughput and e.row.throughput.best.tiles_per_s, _decimals(1), wide=True),
    Column("drift %", lambda e: e.row.sustained and e.row.sustained.drift_percent, _decimals(1), wide=True),
    Column("mJ/frame", _energy, _decimals(1), wide=True),
    Column("weights M", lambda e: e.row.weights and e.row.weights / 1e6, _decimals(2), wide=True),
    Column("GMAC", lambda e: e.row.gmac, _decimals(3), wide=True),
    Column("peak MB", lambda e: e.row.memory and e.row.memory.peak_mb, _decimals(0)),
    Column("file MB", lambda e: e.row.size_bytes / 1e6, _decimals(2)),
)
