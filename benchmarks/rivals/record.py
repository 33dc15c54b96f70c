"""What `benchmarks rivals` measured: a row for every network and size, with every sample, as JSON with a version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.host.calibration import NoiseCheck
from benchmarks.host.device import Device
from benchmarks.report.files import read_record
from benchmarks.rivals.measure import NetworkTimes
from benchmarks.rivals.ours import WHOLE_FRAME, load
from runtime.records import Record

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Subject:
    """What is timed: a network alone, or a whole frame by one of our students.

    student : of ours; None for a rival
    tile : (height, width) that a whole frame is segmented with; None for a network alone, whose tile is the frame
    """

    network: str
    student: str | None = None
    tile: tuple[int, int] | None = None

    @property
    def title(self) -> str:
        """How a row is called, and referred to by others: e.g. "nuclei-fast, whole frame, tile 256x256"."""
        if self.student is None:
            return load(self.network).title
        if self.tile is None:
            return self.student
        return f"{self.student}, whole frame, tile {self.tile[0]}x{self.tile[1]}"


@dataclass(frozen=True)
class NetworkResult(Record):
    """One row: a network alone, or a whole frame, on frames of side x side pixels.

    title : by which ratios refer to it
    student, tile : of ours; tile : (height, width) of a whole frame's tiles, None for the network alone
    ms : the median of all calls of all rounds
    ratio : to the network of the first student; ratios : to every row of ours of this size by its title. Each is the
        median of the ratios of the rounds
    not_measured : why there are no figures; None if there are
    """

    network: str
    title: str
    description: str
    side: int
    ms: float | None
    ratio: float | None
    peak_mb: float | None
    answers: tuple[NetworkTimes, ...]
    not_measured: str | None
    student: str | None
    tile: tuple[int, int] | None
    ratios: Mapping[str, float]

    @property
    def is_whole_frame(self) -> bool:
        """From a file's bytes to a mask, and not the network alone."""
        return self.network == WHOLE_FRAME


@dataclass(frozen=True)
class RivalComparison(Record):
    """All of it. students : ours, in the order given; the first is what `ratio` refers to."""

    schema_version: int
    created: str
    edgescope: str
    device: Device
    noise: NoiseCheck
    data: str
    threads: int
    rounds: int
    results: tuple[NetworkResult, ...]
    students: tuple[str, ...]

    @property
    def sides(self) -> tuple[int, ...]:
        """The sizes there are."""
        return tuple(sorted({item.side for item in self.results}))

    def of_size(self, side: int) -> tuple[NetworkResult, ...]:
        """The rows of one size."""
        return tuple(item for item in self.results if item.side == side)


def results(
    side: int, answers: Mapping[Subject, Sequence[NetworkTimes]], failed: Mapping[Subject, str]
) -> tuple[NetworkResult, ...]:
    """What the rounds of one size say; rounds that another did not finish pair with nothing.

    answers : of every subject, the first student's network first
    """
    ours = {subject: times for subject, times in answers.items() if subject.student is not None}
    return tuple(_result(subject, side, times, ours, failed.get(subject)) for subject, times in answers.items())


def _result(
    subject: Subject,
    side: int,
    times: Sequence[NetworkTimes],
    ours: Mapping[Subject, Sequence[NetworkTimes]],
    failed: str | None,
) -> NetworkResult:
    reason = failed or (None if times else "no round was finished")
    measured = reason is None
    ratios = {s.title: ratio for s, theirs in ours.items() if measured and (ratio := _ratio(times, theirs))}
    return NetworkResult(
        network=subject.network,
        title=subject.title,
        description=load(subject.network).description,
        side=side,
        ms=median(ms for one in times for ms in one.ms) if measured else None,
        ratio=ratios.get(next(iter(ours)).title) if ours else None,
        peak_mb=median(one.peak_mb for one in times) if measured else None,
        answers=tuple(times),
        not_measured=reason,
        student=subject.student,
        tile=subject.tile,
        ratios=ratios,
    )


def _ratio(times: Sequence[NetworkTimes], to: Sequence[NetworkTimes]) -> float | None:
    rounds = [median(one.ms) / median(other.ms) for one, other in zip(times, to, strict=False)]
    return median(rounds) if rounds else None


def read_comparison(path: Path) -> RivalComparison:
    """Read what `rivals --json` wrote; InputError names the file, and the field or version that does not fit."""
    return read_record(path, RivalComparison, SCHEMA_VERSION, "no comparison with rivals")
