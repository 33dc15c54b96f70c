"""What the machines of several reports are called: each by one name, and two machines never by the same."""

import re
from collections.abc import Sequence

from benchmarks.host.device import Constraint, Device
from benchmarks.report.report import Report

TRADE_MARKS = re.compile(r"\((?:R|TM)\)", re.IGNORECASE)


def name_machines(reports: Sequence[Report]) -> list[str]:
    """A name for each report, equal only where the machine and how it was held back are equal.

    Where board or processor, cores and limits do not tell two machines apart, memory and power mode are added, and
    where these do not either, the day of the measurement is.
    """
    plain = [machine_name(report) for report in reports]
    named: list[str] = []
    for report, name in zip(reports, plain, strict=True):
        alike = [_details(other) for other, theirs in zip(reports, plain, strict=True) if theirs == name]
        differing = [place for place, words in enumerate(zip(*alike, strict=True)) if len(set(words)) > 1]
        own = _details(report)
        named.append(", ".join([name, *filter(None, (own[place] for place in differing))]))
    return named


def machine_name(report: Report) -> str:
    """The report's own label, or the board or processor and how much of it there was, or how it was held back."""
    return called(report.label, report.device, report.constrained)


def called(label: str | None, device: Device, limits: Constraint | None) -> str:
    """A machine: what its owner calls it, or else its board or processor; and its cores, or how it was held back."""
    cores = f"{device.usable_cores} cores" if limits is None else limits.label
    return f"{label or device.board or short_name(device.cpu)}, {cores}"


def short_name(cpu: str) -> str:
    """A processor's name without its trade marks."""
    return " ".join(TRADE_MARKS.sub(" ", cpu).split())


def _details(report: Report) -> tuple[str, ...]:
    """What may tell machines of one kind apart, the same number of texts for each."""
    device = report.device
    return (
        f"{device.memory_mb / 1000:.0f} GB",
        (device.jetson and device.jetson.nvpmodel) or "",
        ", ".join(device.isa[-1:]),
        device.distribution or device.os,
        report.created[:10],
    )
