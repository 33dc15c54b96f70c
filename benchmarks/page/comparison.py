"""Reports side by side: one table in many forms, and what must be known to read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers.choose import Choice, choose
from benchmarks.answers.requirements import Limits
from benchmarks.page import page
from benchmarks.report import table
from benchmarks.report.absent import Absent, absent
from benchmarks.report.files import read_report
from benchmarks.report.report import Report
from runtime.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """The rows of several reports, and devices that were expected and not measured."""

    reports: tuple[Report, ...]
    absent: tuple[Absent, ...] = ()

    @property
    def entries(self) -> list[table.TableEntry]:
        """All rows of all reports, in their order."""
        return table.entries(self.reports)

    def cells(self) -> list[list[str]]:
        """Headings, a line per row, and a line per device that was not measured."""
        return table.cells(self.entries, self.absent)

    def stage_cells(self) -> list[list[str]]:
        """Where the time of a frame goes: headings, and a line per row that was timed."""
        return table.stage_cells(self.entries)

    def notes(self) -> list[str]:
        """What has to be known to read the figures, each thing once."""
        return table.notes(self.entries, self.absent)

    def to_dict(self) -> dict[str, Any]:
        """What is printed and more, with numbers as numbers, and None where nothing was measured."""
        return table.to_dict(self.entries, self.absent)

    def to_markdown(self) -> str:
        """A pipe table, followed by the notes."""
        return table.markdown(self.entries, self.absent)

    def to_csv(self) -> str:
        """Comma-separated, with all columns, without the notes."""
        return table.to_csv(self.entries, self.absent)

    def to_html(self, answer: Choice | None = None) -> str:
        """One self-contained page with charts and filters. answer : to begin with; None: to no limits at all"""
        return page.render(self.entries, self.absent, answer or self._answer())

    def _answer(self) -> Choice | None:
        """None where the reports do not compare, or nothing ran."""
        try:
            return choose(self.reports, Limits())
        except InputError:
            return None


def compare(reports: Sequence[Report | str | Path], expect: Sequence[str] = ()) -> Comparison:
    """Put reports of several machines side by side.

    reports : or the files to read them from
    expect : "TARGET:DEVICE" each: devices that get a row even if no report is from them, with the command to run there
    InputError for a file that is no report, or was edited, and for what is no expected device.
    """
    read = tuple(one if isinstance(one, Report) else read_report(Path(one)) for one in reports)
    return Comparison(read, tuple(absent(read, expect)))
