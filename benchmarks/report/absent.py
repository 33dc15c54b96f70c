"""Devices that a comparison ought to show and no report is from: rows that say which command to run there."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report.report import Report
from runtime.errors import InputError

MARK = "not measured"


@dataclass(frozen=True)
class Absent:
    """A device without figures. command : what to run there"""

    target: str
    device: str
    command: str

    @property
    def mark(self) -> str:
        """What stands where the figures would, before the command."""
        return f"{MARK}: run this command there"

    @property
    def text(self) -> str:
        """The mark and the command."""
        return f"{self.mark}: {self.command}"


def absent(reports: Sequence[Report], expected: Sequence[str]) -> list[Absent]:
    """Those of the expected devices that no report has timed.

    expected : "TARGET:DEVICE" each, where DEVICE is a part of the board's or the processor's name, e.g. "Raspberry Pi
        5"; InputError if it is not that"""
    pairs = [_parse(text) for text in expected]
    return [
        Absent(target, name, _command(reports, target)) for target, name in pairs if not _timed(reports, target, name)
    ]


def _parse(text: str) -> tuple[str, str]:
    target, _, name = (part.strip() for part in text.partition(":"))
    if not target or not name:
        msg = f"{text!r} is no expected device; give TARGET:DEVICE, with a part of its name, e.g. Raspberry Pi 5."
        raise InputError(msg)
    return target, name


def _timed(reports: Sequence[Report], target: str, name: str) -> bool:
    for report in reports:
        names = f"{report.device.board or ''} {report.device.cpu} {report.device_id}".lower()
        if name.lower() in names and any(row.target == target and row.timing for row in report.rows):
            return report.constrained is None  # a machine that is held back is not the device it resembles
    return False


def _command(reports: Sequence[Report], target: str) -> str:
    """With the artefacts and the data of the reports, so that the figures will compare."""
    names = dict.fromkeys(row.name for report in reports for row in report.rows if row.target == target)
    data = next((report.data.spec for report in reports), "NAME:PATH")
    artifacts = [part for name in names or (f"STUDENT-{target}-int8",) for part in ("--artifact", name)]
    return shlex.join(["python", "-m", "benchmarks", "run", *artifacts, "--data", data, "--out", f"{target}.json"])
