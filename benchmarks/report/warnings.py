"""Reasons not to trust the figures of a report, or not to compare reports: told with every table and answer.

What is plainly wrong never gets here: `read_report` refuses a report that was edited, that holds NaN, or of a schema
that is not known.
"""

from collections.abc import Iterator, Sequence

from benchmarks.measures.figures import ENDS
from benchmarks.report.report import Report


def of_reports(reports: Sequence[Report]) -> list[str]:
    """The warnings of every report, each once, and reasons not to compare them."""
    warnings = list(dict.fromkeys(warning for report in reports for warning in _of_report(report)))
    if len({images_of(report) for report in reports}) > 1:
        warnings.append("the reports were measured on different images: their quality figures do not compare")
    if words := of_ends(reports):
        warnings.append(words)
    if len({report.protocol.threads for report in reports}) > 1:
        warnings.append("the reports were measured with different numbers of threads")
    return warnings


def of_ends(reports: Sequence[Report]) -> str:
    """Why the times of frames do not compare, where they do not end alike; else nothing."""
    ends = {row.until for report in reports for row in report.rows if row.timing or row.sustained}
    if len(ends) < 2:
        return ""
    words = " and ".join(end for end in ENDS if end in ends)
    return f"frames were timed until {words}: their times do not compare; run all with the same --until"


def _of_report(report: Report) -> Iterator[str]:
    if report.constrained is not None:
        yield f"{report.constrained.label} on {report.device.cpu}: no figures of the device it resembles"
    for warning in report.warnings:
        yield f"{report.device_id}: {warning}"


def images_of(report: Report) -> tuple[str, int] | str:
    """What tells the images of two reports apart: their content; where none was scored, their name and number."""
    return report.data.content or (report.data.spec, report.data.images)
