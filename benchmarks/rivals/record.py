"""What `benchmarks rivals` measured: a row for every network and size, with every sample, as JSON with a version."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.host.calibration import NoiseCheck
from benchmarks.host.device import Device
from benchmarks.report.files import read_record
from benchmarks.rivals.measure import NetworkTimes
from benchmarks.rivals.network import NETWORK, STAGES
from benchmarks.rivals.ours import load
from runtime.records import Record

SCHEMA_VERSION = 4


@dataclass(frozen=True)
class Subject:
    """What is timed: a rival, or one of our students with tiles of one size.

    student : of ours; None for a rival
    tile : (height, width) of our tiles; None for a rival, which takes the frame as one
    """

    network: str
    student: str | None = None
    tile: tuple[int, int] | None = None

    @property
    def title(self) -> str:
        """How a row is called, and referred to by others: e.g. "nuclei-fast, tile 256x256"."""
        if self.student is None or self.tile is None:
            return load(self.network).title
        return f"{self.student}, tile {self.tile[0]}x{self.tile[1]}"


@dataclass(frozen=True)
class NetworkResult(Record):
    """One row: a frame of side x side pixels, by one network.

    title : by which ratios refer to it
    student, tile : of ours; tile : (height, width)
    ms : the median of all calls of all rounds; stages : the same of each stage, by its name
    cpu_ms : of all cores per call, the median of the rounds
    objects : how many the frame has, where it was timed so far
    ratios : to every row of ours of this size, by its title; network_ratios : the same of the network alone. Each is
        the median of the ratios of the rounds
    not_measured : why there are no figures; None if there are
    """

    network: str
    title: str
    description: str
    side: int
    ms: float | None
    cpu_ms: float | None
    stages: Mapping[str, float]
    objects: int | None
    peak_mb: float | None
    answers: tuple[NetworkTimes, ...]
    not_measured: str | None
    student: str | None
    tile: tuple[int, int] | None
    ratios: Mapping[str, float]
    network_ratios: Mapping[str, float]


@dataclass(frozen=True)
class RivalComparison(Record):
    """All of it.

    students : ours, in the order given
    until : the stage that every frame ends with
    truth : how many objects each size's frame has
    """

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
    until: str
    truth: Mapping[str, int]

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

    answers : of every subject, in the order of the rows
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
    able = {subject.title: theirs for subject, theirs in ours.items() if measured and theirs}
    names = [name for name in STAGES if measured and name in times[0].stages]
    return NetworkResult(
        network=subject.network,
        title=subject.title,
        description=load(subject.network).description,
        side=side,
        ms=median(ms for one in times for ms in one.ms) if measured else None,
        cpu_ms=median(one.cpu_ms for one in times) if measured else None,
        stages={name: median(ms for one in times for ms in one.stages[name]) for name in names},
        objects=times[0].objects if measured else None,
        peak_mb=median(one.peak_mb for one in times) if measured else None,
        answers=tuple(times),
        not_measured=reason,
        student=subject.student,
        tile=subject.tile,
        ratios={title: _ratio(times, theirs, _frame_ms) for title, theirs in able.items()},
        network_ratios={title: _ratio(times, theirs, _network_ms) for title, theirs in able.items()},
    )


def _frame_ms(times: NetworkTimes) -> float:
    return median(times.ms)


def _network_ms(times: NetworkTimes) -> float:
    return median(times.stages[NETWORK])


def _ratio(times: Sequence[NetworkTimes], to: Sequence[NetworkTimes], figure: Callable[[NetworkTimes], float]) -> float:
    return median(figure(one) / figure(other) for one, other in zip(times, to, strict=False))


def read_comparison(path: Path) -> RivalComparison:
    """Read what `rivals --json` wrote; InputError names the file, and the field or version that does not fit."""
    return read_record(path, RivalComparison, SCHEMA_VERSION, "no comparison with rivals")
