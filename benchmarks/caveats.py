"""What stands against the figures of a report, or against comparing reports: said beside every table and answer.

What is plainly wrong never gets here: `read_report` refuses a report that was edited, that holds NaN, or of a schema
that is not known.
"""

from collections.abc import Iterator, Sequence

from .report import SCHEMA_VERSION, Report


def of_report(report: Report) -> Iterator[str]:
    """Reasons not to take the figures of this report at face value."""
    if report.constrained is not None:
        yield f"{report.constrained.label} on {report.device.cpu}: no figures of the device it resembles"
    for warning in report.warnings:
        yield f"{report.device_id}: {warning}"
    if report.schema_version != SCHEMA_VERSION:
        yield (
            f"{report.device_id}, {report.created}: a report of version {report.schema_version}, which has no digest: "
            "nothing proves that it is as it was measured"
        )


def of_reports(reports: Sequence[Report]) -> list[str]:
    """Those of every report, each once, and reasons not to compare them."""
    said = list(dict.fromkeys(doubt for report in reports for doubt in of_report(report)))
    if len({images_of(report) for report in reports}) > 1:
        said.append("the reports were measured on different images: their Dice and AP do not compare")
    if len({report.protocol.threads for report in reports}) > 1:
        said.append("the reports were measured with different numbers of threads")
    return said


def images_of(report: Report) -> tuple[str, int] | str:
    """What tells the images of two reports apart: their content, or in reports of version 1 their name and number."""
    return report.data.content or (report.data.spec, report.data.images)
