"""One self-contained HTML page over several reports: the table, the devices, and the latencies as bars.

No script, no font and no image is fetched from anywhere: the page can be mailed, and opened in ten years.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment

from . import table
from .report import Report
from .table import Entry

TEMPLATE = "page.html"


@dataclass(frozen=True)
class Bar:
    """A row's latency per tile; lengths are shares of the slowest in percent."""

    label: str
    p50: float
    p95: float | None
    length: float
    tick: float | None


def render(shown: Sequence[Entry]) -> str:
    """The page as text."""
    text = resources.files(__package__ or "benchmarks").joinpath(TEMPLATE).read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    head, *lines = table.cells(shown)
    return template.render(head=head, lines=lines, notes=table.notes(shown), bars=bars(shown), reports=_reports(shown))


def bars(shown: Sequence[Entry]) -> list[Bar]:
    """A bar for each row that was timed, in the order of the table."""
    timed = [(entry, entry.row.timing.tile_ms) for entry in shown if entry.row.timing]
    longest = max((ms.p95 or ms.p50 or 0.0 for _, ms in timed), default=0.0) or 1.0
    several = len(_reports(shown)) > 1
    return [
        Bar(
            label=f"{entry.row.name} ({table.device_of(entry)})" if several else entry.row.name,
            p50=ms.p50,
            p95=ms.p95,
            length=100 * ms.p50 / longest,
            tick=None if ms.p95 is None else 100 * ms.p95 / longest,
        )
        for entry, ms in timed
        if ms.p50 is not None
    ]


def _reports(shown: Sequence[Entry]) -> list[Report]:
    reports: list[Report] = []
    for entry in shown:
        if not any(entry.report is report for report in reports):
            reports.append(entry.report)
    return reports
