"""One table over the rows of one or several reports: the same columns on the screen, in Markdown, CSV and HTML.

A cell that was not measured is '-'. What has to be known to read a figure stands in the notes below the table.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .figures import Quality
from .report import Report, Row

MISSING = "-"


@dataclass(frozen=True)
class Entry:
    """A row, with the report that it comes from."""

    report: Report
    row: Row


@dataclass(frozen=True)
class Column:
    """A heading, the value below it (None: not measured) and its text. always: shown even if all rows are equal."""

    title: str
    value: Callable[[Entry], Any]
    show: Callable[[Any], str] = str
    always: bool = True

    def cell(self, entry: Entry) -> str:
        """The value as text."""
        value = self.value(entry)
        return MISSING if value is None else self.show(value)


def entries(reports: Sequence[Report]) -> list[Entry]:
    """All rows of all reports, in their order."""
    return [Entry(report, row) for report in reports for row in report.rows]


def columns(shown: Sequence[Entry]) -> list[Column]:
    """The columns that tell something: device, data and student only where the rows differ in them."""
    return [column for column in COLUMNS if column.always or len({column.cell(entry) for entry in shown}) > 1]


def cells(shown: Sequence[Entry]) -> list[list[str]]:
    """Headings, then a line per row."""
    chosen = columns(shown)
    return [[column.title for column in chosen], *([column.cell(entry) for column in chosen] for entry in shown)]


def to_json(shown: Sequence[Entry]) -> str:
    """What is printed, with numbers as numbers, and null where nothing was measured."""
    chosen = columns(shown)
    rows = [{column.title: column.value(entry) for column in chosen} for entry in shown]
    return json.dumps({"rows": rows, "notes": notes(shown)}, indent=2, ensure_ascii=False) + "\n"


def markdown(shown: Sequence[Entry]) -> str:
    """A pipe table, followed by the notes."""
    head, *lines = [[text.replace("|", r"\|") for text in line] for line in cells(shown)]
    table = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines)]
    return "\n".join([*table, "", *(f"- {note}" for note in notes(shown))]) + "\n"


def to_csv(shown: Sequence[Entry]) -> str:
    """Comma-separated, without the notes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(cells(shown))
    return text.getvalue()


def notes(shown: Sequence[Entry]) -> list[str]:
    """What must be said beside the figures, each thing once."""
    said: list[str] = []
    for entry in shown:
        said += [note for note in _notes(entry) if note not in said]
    if len({(entry.report.data.spec, entry.report.data.images) for entry in shown}) > 1:
        said.append("the reports were measured on different images: their Dice and AP do not compare")
    return said


def _notes(entry: Entry) -> Iterable[str]:
    row, data, protocol = entry.row, entry.report.data, entry.report.protocol
    if row.quality:
        yield f"{data.images} images of {data.spec}, labels: {row.quality.labels}; {_counted(row.quality)}"
    else:
        yield f"{data.images} images of {data.spec}, without labels"
    if data.left_out:
        yield "left out: " + ", ".join(f"{count} {reason}" for reason, count in data.left_out.items())
    if row.timing:
        yield (
            f"times per tile of {tile_of(row)}, {protocol.rounds} x {protocol.repeats} in fresh processes, threads: "
            f"{protocol.threads or 'as the backend chooses'}; faster: than {protocol.reference}, paired by round"
        )
    if entry.report.constrained:
        yield f"{entry.report.constrained.label} on {entry.report.device.cpu}: no figures of the device it resembles"
    yield from entry.report.warnings
    if protocol.also_bf16 and not entry.report.device.has_bf16:
        yield "bf16 was not run: this processor does not multiply it natively"
    if row.agreement and not row.agreement.within_tolerance:
        yield f"{row.name}: the probes are outside of the artefact's tolerance"
    if row.stand_in:
        yield f"{row.target}: checked here with {row.backend}, not timed: {_why_not_timed(row)}"
    if row.error:
        yield f"{row.name}: {row.error}"


def _counted(quality: Quality) -> str:
    """How the figures in the table were counted, each thing once."""
    return "; ".join(dict.fromkeys(quality.protocol[name] for name in ("dice", "object_ap")))


def _why_not_timed(row: Row) -> str:
    if row.target == "jetson":
        return "a Jetson builds its engine on the device"
    return "its own backend does not run here"


def _precision(entry: Entry) -> str:
    hint = entry.row.precision_hint
    return f"{entry.row.precision}, run in {hint}" if hint else entry.row.precision


def _backend(entry: Entry) -> str:
    if entry.row.backend is None:
        return "failed"
    return f"{entry.row.backend} (CPU check)" if entry.row.stand_in else entry.row.backend


def device_of(entry: Entry) -> str:
    """The processor, and how much of it there was."""
    limits = entry.report.constrained
    cores = f"{entry.report.device.usable_cores} cores" if limits is None else limits.label
    return f"{entry.report.device.cpu}, {cores}"


def tile_of(row: Row) -> str:
    """Height and width of the tiles that were timed."""
    return f"{row.tile[0]}x{row.tile[1]}"


def _decimals(number: int, unit: str = "") -> Callable[[float], str]:
    return lambda value: f"{value:.{number}f}{unit}"


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


COLUMNS = (
    Column("device", device_of, always=False),
    Column("data", lambda e: e.report.data.spec, always=False),
    Column("student", lambda e: e.row.student, always=False),
    Column("target", lambda e: e.row.target),
    Column("precision", _precision),
    Column("backend", _backend),
    Column("tile", lambda e: tile_of(e.row), always=False),
    Column("Dice", lambda e: e.row.quality and e.row.quality.dice.mean, _decimals(4)),
    Column("AP 0.5", lambda e: e.row.quality and e.row.quality.object_ap.pooled, _decimals(3)),
    Column("agreement", lambda e: e.row.agreement and e.row.agreement.mask_dice, _decimals(4)),
    Column("p50 ms", lambda e: e.row.timing and e.row.timing.tile_ms.p50, _milliseconds),
    Column("p95 ms", lambda e: e.row.timing and e.row.timing.tile_ms.p95, _milliseconds),
    Column("faster", lambda e: e.row.timing and e.row.timing.speedup, _decimals(2, "x")),
    Column("peak MB", lambda e: e.row.memory and e.row.memory.peak_mb, _decimals(0)),
    Column("file MB", lambda e: e.row.size_bytes / 1e6, _decimals(2)),
)
