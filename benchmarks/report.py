"""The report: what was measured, on what, with every sample. JSON with a schema version, written atomically.

Figures that were not measured are None, here and in every table. A report is sealed with a digest over its content:
one that was edited, holds NaN, does not fit its own samples, or is of an unknown schema version is refused by name.
Version 1 is read, too, with what it does not have as None (see report_v1.py).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtime.atomic import write_bytes
from runtime.errors import InputError
from runtime.records import Record, parse_json

from . import report_v1
from .consistency import contradictions
from .device import Constraint, Device
from .figures import Agreement, Energy, Memory, Quality, Sustained, Throughput, Timing
from .noise import Noise

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Row(Record):
    """One artefact, run in one way.

    tile : (height, width) of the tiles that are timed
    precision_hint : what the backend was asked to compute in, where it was not the artefact's own choice
    threads : what the backend was asked to use; None leaves it to the backend
    stand_in : True where another backend than the target's own ran, on another machine than the target; such
        a row has quality and agreement, but neither times nor memory
    not_measured : why a figure is missing, by the field's name
    error : why there is less than there should be; None if all went well"""

    name: str
    student: str
    target: str
    precision: str
    precision_hint: str | None
    threads: int | None
    backend: str | None
    stand_in: bool
    description: Mapping[str, str]
    tile: tuple[int, int]
    size_bytes: int
    operators: Mapping[str, Any]
    agreement: Agreement | None
    quality: Quality | None
    timing: Timing | None
    memory: Memory | None
    throughput: Throughput | None
    sustained: Sustained | None
    energy: Energy | None
    not_measured: Mapping[str, str]
    error: str | None


@dataclass(frozen=True)
class Data(Record):
    """The images. left_out: how many were found and not used, by reason.

    content : SHA-256 over the names, pixels and labels of the images that were used; equal exactly where the images
        are; None in a report of version 1
    """

    spec: str
    images: int
    licence: str | None
    description: str
    left_out: Mapping[str, int]
    content: str | None


@dataclass(frozen=True)
class Protocol(Record):
    """How it was measured. threads: None leaves the number to the backend; reference: the row speedups refer to."""

    rounds: int
    repeats: int
    threads: int | None
    also_bf16: bool
    throughput: bool
    sustain_minutes: float | None
    reference: str | None


@dataclass(frozen=True)
class Report(Record):
    """One run of `benchmarks run` on one machine.

    constrained : how this machine was held back to resemble a smaller one; its figures are no figures of that one
    digest : SHA-256 over all else, see `sealed`; None in a report of version 1, of which nothing can be proved
    """

    schema_version: int
    created: str
    edgescope: str
    device: Device
    constrained: Constraint | None
    data: Data
    protocol: Protocol
    noise: Noise | None
    rows: tuple[Row, ...]
    digest: str | None

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows with an error."""
        return tuple(row for row in self.rows if row.error)

    @property
    def device_id(self) -> str:
        """The device's id, marked where the machine was constrained: never the id of the device it resembles."""
        return self.device.id if self.constrained is None else f"{self.device.id}+constrained"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes its times doubtful: a power mode, throttling, a noisy machine."""
        return (*self.device.warnings, *(self.noise.reasons if self.noise else ()))

    def sealed(self) -> "Report":
        """The same report with the digest of its content; do this last."""
        return replace(self, digest=digest(Report.from_dict(self.to_dict()).to_dict()))  # 1 and 1.0 become one


def digest(value: Mapping[str, Any]) -> str:
    """SHA-256 over a report's JSON without the digest itself, whatever its spaces and the order of its fields."""
    content = {name: item for name, item in value.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_report(path: Path) -> Report:
    """Read a report; InputError names the file, and the version, field or digest that does not fit."""
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
        return _of(value)
    except FileNotFoundError as error:
        msg = f"There is no report {str(path)!r}; write one with: python -m benchmarks run --out FILE"
        raise InputError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{str(path)!r} is no report: it is not text; give a file written by `benchmarks run --out`."
        raise InputError(msg) from error
    except InputError as error:
        msg = f"{str(path)!r} is no report that this edgescope reads. {error}"
        raise InputError(msg) from error


def _of(value: object) -> Report:
    if not isinstance(value, dict):
        msg = "It holds no object {...}; give a file written by `benchmarks run --out`."
        raise InputError(msg)
    version = value.get("schema_version")
    if type(version) is not int or version not in (1, SCHEMA_VERSION):
        msg = f"Its schema_version is {version!r}, this edgescope reads 1, {SCHEMA_VERSION}; measure again, or update."
        raise InputError(msg)
    if version == 1:
        return Report.from_dict(report_v1.convert(value))
    report = Report.from_dict(value)
    if report.digest is None or report.digest != digest(report.to_dict()):
        msg = "Its content does not match its digest: it was edited after it was measured; measure again."
        raise InputError(msg)
    if odd := next(contradictions(report), None):
        msg = f"Its figures do not follow from its own samples ({odd}): it was not written by a measurement."
        raise InputError(msg)
    return report


def write_report(path: Path, report: Report) -> None:
    """Seal a report and write it as a whole or not at all."""
    write_bytes(path, report.sealed().to_json().encode())
