"""What `benchmarks rivals` measured: a row for every network and size, with every sample, as JSON with a version.

Version 1 knew one student of ours and the network alone; it is read as such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from runtime.errors import InputError
from runtime.records import Record, parse_json

from . import rival_networks
from .device import Device
from .noise import Noise
from .rival_networks import OURS, WHOLE_FRAME
from .rival_networks.measure import Answer

SCHEMA_VERSION = 2
VERSIONS = (1, SCHEMA_VERSION)


@dataclass(frozen=True)
class Subject:
    """What is timed: a network of `rival_networks` alone, or a whole frame by one of our students.

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
            return rival_networks.load(self.network).title
        return self.student if self.tile is None else f"{self.student}, whole frame, tile {size_of(self.tile)}"


def size_of(tile: tuple[int, int]) -> str:
    """E.g. "512x2048", height first, as `compile --tile` takes it."""
    return f"{tile[0]}x{tile[1]}"


@dataclass(frozen=True)
class Result(Record):
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
    answers: tuple[Answer, ...]
    not_measured: str | None
    student: str | None = field(default=None, metadata={"optional": True})
    tile: tuple[int, int] | None = field(default=None, metadata={"optional": True})
    ratios: Mapping[str, float] = field(default_factory=dict, metadata={"optional": True})

    @property
    def is_whole_frame(self) -> bool:
        """From a file's bytes to a mask, and not the network alone."""
        return self.network == WHOLE_FRAME


@dataclass(frozen=True)
class Comparison(Record):
    """All of it. students : ours, in the order given; the first is what `ratio` refers to."""

    schema_version: int
    created: str
    edgescope: str
    device: Device
    noise: Noise | None
    data: str
    threads: int
    rounds: int
    results: tuple[Result, ...]
    students: tuple[str, ...] = field(default=(), metadata={"optional": True})

    @property
    def sides(self) -> tuple[int, ...]:
        """The sizes there are."""
        return tuple(sorted({item.side for item in self.results}))

    def of_size(self, side: int) -> tuple[Result, ...]:
        """The rows of one size."""
        return tuple(item for item in self.results if item.side == side)


def results(
    side: int, answers: Mapping[Subject, Sequence[Answer]], failed: Mapping[Subject, str]
) -> tuple[Result, ...]:
    """What the rounds of one size say; rounds that another did not finish pair with nothing.

    answers : of every subject, the first student's network first
    """
    ours = {subject: given for subject, given in answers.items() if subject.student is not None}
    return tuple(_result(subject, side, given, ours, failed.get(subject)) for subject, given in answers.items())


def _result(
    subject: Subject, side: int, given: Sequence[Answer], ours: Mapping[Subject, Sequence[Answer]], failed: str | None
) -> Result:
    network = rival_networks.load(subject.network)
    reason = failed or (None if given else "no round was finished")
    measured = reason is None
    ratios = {s.title: ratio for s, theirs in ours.items() if measured and (ratio := _ratio(given, theirs))}
    return Result(
        network=subject.network,
        title=subject.title,
        description=network.description,
        side=side,
        ms=median(ms for answer in given for ms in answer.ms) if measured else None,
        ratio=ratios.get(next(iter(ours)).title) if ours else None,
        peak_mb=median(answer.peak_mb for answer in given) if measured else None,
        answers=tuple(given),
        not_measured=reason,
        student=subject.student,
        tile=subject.tile,
        ratios=ratios,
    )


def _ratio(given: Sequence[Answer], to: Sequence[Answer]) -> float | None:
    rounds = [median(one.ms) / median(other.ms) for one, other in zip(given, to, strict=False)]
    return median(rounds) if rounds else None


def read_comparison(path: Path) -> Comparison:
    """Read what `rivals --json` wrote; InputError names the file, and the field or version that does not fit."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
        version = value.get("schema_version") if isinstance(value, dict) else None
        if type(version) is not int or version not in VERSIONS:
            known = ", ".join(map(str, VERSIONS))
            msg = f"Its schema_version is {version!r}, this edgescope reads {known}; measure again, or update."
            raise InputError(msg)
        return Comparison.from_dict(_of_version_1(value) if version == 1 else value)
    except (OSError, UnicodeDecodeError, InputError) as error:
        msg = f"{str(path)!r} is no comparison with rivals that this edgescope reads. {error}"
        raise InputError(msg) from error


def _of_version_1(value: dict[str, Any]) -> dict[str, Any]:
    """It had one student, whose name it did not tell, and one ratio."""

    def more(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        ratios = {} if item.get("ratio") is None else {OURS: item["ratio"]}
        return {**item, "ratios": ratios, "student": OURS if item.get("network") == OURS else None}

    rows = value.get("results")
    return {**value, "students": [OURS], "results": [more(item) for item in rows] if isinstance(rows, list) else rows}
