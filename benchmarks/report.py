"""The report: what was measured, on what, with every sample. JSON with a schema version, written atomically.

Figures that were not measured are None, here and in every table. Reports of another schema version, and
files that are no report, are refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.atomic import write_bytes
from runtime.errors import InputError
from runtime.records import Record, parse_json

from .device import Device
from .latency import Latency

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Round(Record):
    """What one fresh process measured: milliseconds, and resident memory in megabytes."""

    load_ms: float
    first_frame_ms: float
    tile_ms: tuple[float, ...]
    frame_ms: tuple[float, ...]
    baseline_mb: float
    peak_mb: float


@dataclass(frozen=True)
class Timing(Record):
    """All rounds of one row. Load, first frame and memory are medians over the rounds, latencies pool them.

    speedup : how many times faster per tile than the report's reference row; the median of the ratios that
        the rounds gave, each against the reference in the same round"""

    load_ms: float
    first_frame_ms: float
    tile_ms: Latency
    frame_ms: Latency
    frame_shape: tuple[int, int]
    baseline_mb: float
    peak_mb: float
    speedup: float
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Agreement(Record):
    """The artefact's probes, replayed, against the reference outputs that it carries."""

    probes: int
    mask_dice: float
    probability_max: float
    probability_mean: float
    within_tolerance: bool


@dataclass(frozen=True)
class ImageScore(Record):
    """Pixels and objects of one image: found, invented, missed."""

    name: str
    dice: float
    pixels: tuple[int, int, int]
    objects: tuple[int, int, int]


@dataclass(frozen=True)
class Quality(Record):
    """Overlap with the labels; `protocol` says how it was counted, `interval` is the 95 % bootstrap of `dice`."""

    labels: str
    protocol: str
    dice: float
    interval: tuple[float, float] | None
    dice_pooled: float
    iou: float
    iou_pooled: float
    object_ap: float
    object_ap_pooled: float
    images: tuple[ImageScore, ...]


@dataclass(frozen=True)
class Row(Record):
    """One artefact, run in one way.

    tile : (height, width) of the tiles that are timed
    precision_hint : what the backend was asked to compute in, where it was not the artefact's own choice
    stand_in : True where another backend than the target's own ran, on another machine than the target; such
        a row has quality and agreement, but neither times nor memory
    error : why there is less than there should be; None if all went well"""

    name: str
    student: str
    target: str
    precision: str
    precision_hint: str | None
    backend: str | None
    stand_in: bool
    description: Mapping[str, str]
    tile: tuple[int, int]
    size_bytes: int
    operators: Mapping[str, Any]
    agreement: Agreement | None
    quality: Quality | None
    timing: Timing | None
    error: str | None


@dataclass(frozen=True)
class Data(Record):
    """The images. left_out: how many were found and not used, by reason."""

    spec: str
    images: int
    licence: str | None
    description: str
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Protocol(Record):
    """How it was measured. threads: None leaves the number to the backend; reference: the row speedups refer to."""

    rounds: int
    repeats: int
    threads: int | None
    also_bf16: bool
    reference: str | None


@dataclass(frozen=True)
class Report(Record):
    """One run of `benchmarks run` on one machine."""

    schema_version: int
    created: str
    edgescope: str
    device: Device
    data: Data
    protocol: Protocol
    rows: tuple[Row, ...]

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows with an error."""
        return tuple(row for row in self.rows if row.error)


def read_report(path: Path) -> Report:
    """Read a report; InputError names the file, and the version or field that is not known."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
        _check_version(value)
        return Report.from_dict(value)
    except FileNotFoundError as error:
        msg = f"There is no report {str(path)!r}; write one with: python -m benchmarks run --out FILE"
        raise InputError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{str(path)!r} is no report: it is not text; give a file written by `benchmarks run --out`."
        raise InputError(msg) from error
    except InputError as error:
        msg = f"{str(path)!r} is no report that this edgescope reads. {error}"
        raise InputError(msg) from error


def _check_version(value: object) -> None:
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        msg = f"Its schema_version is {version!r}, this edgescope reads {SCHEMA_VERSION}; measure again, or update."
        raise InputError(msg)


def write_report(path: Path, report: Report) -> None:
    """Write a report as a whole or not at all."""
    write_bytes(path, report.to_json().encode())
