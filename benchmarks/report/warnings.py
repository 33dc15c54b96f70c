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
    if words := _flagged(report):
        yield f"{report.device_id}: {words}"


def _flagged(report: Report) -> str:
    """The images that the runtime flags, of the row that has most of them; nothing where there are none."""
    found = [row.quality for row in report.rows if row.quality and row.quality.flagged]
    if not found:
        return ""
    most = max(found, key=lambda quality: sum(bool(image.flags) for image in quality.images))
    flags = ", ".join(f"{flag} {count}" for flag, count in most.flagged.items())
    odd = sum(bool(image.flags) for image in most.images)
    return f"{odd} of {len(most.images)} scored images have flags ({flags}): check the results on them"


def images_of(report: Report) -> tuple[str, int] | str:
    """What tells the images of two reports apart: their content; where none was scored, their name and number."""
    return report.data.content or (report.data.spec, report.data.images)
