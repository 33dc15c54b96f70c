"""Write docs/devices.md anew from the reports in benchmarks/history: `python -m tools.device_table`.

Each folder there is a kind of machine; its newest report counts. A test holds the page to what this writes.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.page.comparison import compare
from benchmarks.report import table
from benchmarks.report.files import read_report
from benchmarks.report.report import Report
from runtime.system.atomic import write_bytes

ROOT = Path(__file__).parents[1]
HISTORY, PAGE = ROOT / "benchmarks" / "history", ROOT / "docs" / "devices.md"
BEGIN = "<!-- written by python -m tools.device_table; what is below is not edited by hand -->"
TITLES = (
    "Dice",
    "AP 0.5",
    "frame p50 ms",
    "frame p95 ms",
    "p90 at most ms",
    "frames/s",
    "tile p50 ms",
    "first frame ms",
    "peak MB",
    "file MB",
)


def newest() -> list[Report]:
    """The last report of every kind of machine, by its name."""
    return [read_report(max(folder.glob("*.json"))) for folder in sorted(HISTORY.iterdir()) if folder.is_dir()]


def lines(reports: Sequence[Report]) -> Iterator[str]:
    """A table over the rows that were timed, then the machines, and doubts."""
    shown = [entry for entry in compare(reports).entries if entry.row.timing]
    known = {column.title: column for column in (*table.metric_columns(shown), *table.COSTS)}
    figures = [known[title] for title in TITLES if title in known]
    head = ["machine", "artefact", "threads", "frame", "until", *(column.title for column in figures)]
    cells = [
        [
            table.device_of(entry),
            entry.row.name,
            str(entry.row.threads or "any"),
            table.shape_of(entry.row),
            entry.row.until,
            *(column.cell(entry) for column in figures),
        ]
        for entry in shown
    ]
    numeric = [i >= len(head) - len(figures) for i in range(len(head))]
    yield from table.markdown_table(head, [[table.literal(cell) for cell in line] for line in cells], numeric)
    for report in reports:
        name = next(table.device_of(entry) for entry in compare(reports).entries if entry.report == report)
        device, pace = report.device, report.protocol.pace
        about = [
            f"measured {report.created[:10]} with edgescope {report.edgescope}",
            f"instruction sets {', '.join(device.isa)}" if device.isa else "",
            f"{device.memory_mb / 1000:.0f} GB",
            device.distribution or device.os,
            (device.virtual_machine and "a virtual machine") or "",
            ", ".join(f"{library} {number}" for library, number in device.versions.items()),
            f"{report.data.images} images of {report.data.spec}",
            f"{report.protocol.rounds} x {report.protocol.repeats} frames in fresh processes",
            f"at {pace:g} frames a second" if pace else "back to back",
        ]
        yield ""
        yield f"**{table.literal(name)}** (`{report.device_id}`): {table.literal(', '.join(filter(None, about)))}."
        yield from (f"- Warning: {table.literal(warning)}." for warning in report.warnings)


def text(page: str, reports: Sequence[Report]) -> str:
    """The page with its table written anew below the mark."""
    return f"{page.partition(BEGIN)[0]}{BEGIN}\n\n" + "\n".join(lines(reports)) + "\n"


def main() -> int:
    """Write the page."""
    write_bytes(PAGE, text(PAGE.read_text(encoding="utf-8"), newest()).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
