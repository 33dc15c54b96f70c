"""A power meter's own file, joined to what runs here by the clock: at the wall, or in the supply of a board.

A CSV with two columns, the time and watts, whose program appends to it while the benchmark runs. The time is in seconds
since 1970, or in ISO 8601 (local time where it names no zone). A heading, further columns and ";" are no harm.
"""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from runtime.errors import InputError

LEAST = 3  # readings in a stretch of time: fewer say little of its mean
WAIT_S = 30.0  # for the meter's program to write what it has read
LOOK_S = 0.5


@dataclass(frozen=True)
class PowerFile:
    """The file; it is read anew for each question."""

    path: Path

    @property
    def name(self) -> str:
        """For reports."""
        return f"meter, {self.path.name}"

    def readings(self) -> tuple[np.ndarray, np.ndarray]:
        """Times in seconds since 1970, ascending, and watts, float64 (n,) each; InputError where there are none."""
        try:
            text = self.path.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            msg = f"{self.path} cannot be read: {error.strerror}; give the file that the power meter writes."
            raise InputError(msg) from error
        lines = csv.reader(text.splitlines(), delimiter=";" if text.count(";") > text.count(",") else ",")
        found = [pair for line in lines if (pair := _reading(line)) is not None]
        if not found:
            msg = f"{self.path} holds no line with a time and watts, such as 2026-12-01T08:00:00Z,4.2; see --help."
            raise InputError(msg)
        times, watts = np.array(sorted(found), np.float64).T
        return times, watts

    def watts(self, start: float, end: float) -> float:
        """Mean power between two times in seconds since 1970, by trapezoids; waits until the file has reached the end.

        InputError where its readings do not cover them.
        """
        due = monotonic() + WAIT_S
        times, watts = self.readings()
        while times[-1] < end and monotonic() < due:
            sleep(LOOK_S)
            times, watts = self.readings()
        inside = (times > start) & (times < end)
        if times[0] > start or times[-1] < end or np.count_nonzero(inside) < LEAST:
            msg = (
                f"{self.path} has {np.count_nonzero(inside)} readings of the {end - start:.0f} s until "
                f"{datetime.fromtimestamp(end):%H:%M:%S}, and reaches from {datetime.fromtimestamp(times[0]):%H:%M:%S} "
                f"to {datetime.fromtimestamp(times[-1]):%H:%M:%S}; let the meter write while the benchmark runs, by "
                "the same clock, once a second or more often."
            )
            raise InputError(msg)
        at = np.concatenate([[start], times[inside], [end]])
        power = np.interp(at, times, watts)
        return float(np.sum((power[1:] + power[:-1]) / 2 * np.diff(at)) / (end - start))


def _reading(line: list[str]) -> tuple[float, float] | None:
    """Time and watts of a line; None for a heading and for what is no reading."""
    if len(line) < 2:
        return None
    try:
        watts = float(line[1])
    except ValueError:
        return None
    try:
        time = float(line[0])
    except ValueError:
        try:
            time = datetime.fromisoformat(line[0].strip().replace("Z", "+00:00")).timestamp()
        except ValueError:
            return None
    return (time, watts) if np.isfinite(time) and np.isfinite(watts) and watts >= 0 else None
