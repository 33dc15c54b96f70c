"""The report: what was measured, on what, with every sample.

Figures that were not measured are None, here and in every table. A report is sealed with a digest over its content.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.host.calibration import NoiseCheck
from benchmarks.host.device import Constraint, Device
from benchmarks.inputs.source import Data
from benchmarks.measures.figures import (
    MASK,
    Energy,
    Memory,
    ProbeAgreement,
    Quality,
    Sustained,
    Throughput,
    Timing,
    check_until,
)
from runtime.artifact.manifest import Accuracy, Operators
from runtime.records import OPTIONAL, Record

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Row(Record):
    """One artefact, run in one way.

    tile : (height, width) of the tiles that are timed
    precision_hint : what the backend was asked to compute in, where it was not the artefact's own choice
    threads : what the backend was asked to use; None leaves it to the backend
    stand_in : why another backend than the target's own ran; such a row has quality and agreement, but neither times
        nor memory. None where its own backend ran
    operators, accuracy : what `compile` counted and measured when it made the artefact
    not_measured : why a figure is missing, by the field's name
    error : why there is less than there should be; None if all went well
    until : where a timed frame ends: "network", "mask", "labels" or "objects"; a report that lacks it is older, and its
        frames ended at the mask
    gmac : 10^9 multiply-adds of a tile; weights : numbers that are multiplied; None where the backend does not tell"""

    name: str
    student: str
    target: str
    precision: str
    precision_hint: str | None
    threads: int | None
    backend: str | None
    stand_in: str | None
    description: Mapping[str, str]
    tile: tuple[int, int]
    size_bytes: int
    operators: Operators
    accuracy: Accuracy | None
    agreement: ProbeAgreement | None
    quality: Quality | None
    timing: Timing | None
    memory: Memory | None
    throughput: Throughput | None
    sustained: Sustained | None
    energy: Energy | None
    not_measured: Mapping[str, str]
    error: str | None
    until: str = field(default=MASK, metadata=OPTIONAL)
    gmac: float | None = field(default=None, metadata=OPTIONAL)
    weights: int | None = field(default=None, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        check_until(self.until)


@dataclass(frozen=True)
class Protocol(Record):
    """How it was measured. threads: None leaves the number to the backend; reference: the row speedups refer to.

    least_s : of each row's frames, over all rounds; pace : frames a second that a camera was played at, None: none
    """

    rounds: int
    repeats: int
    threads: int | None
    also_bf16: bool
    throughput: bool
    sustain_minutes: float | None
    reference: str | None
    least_s: float = field(default=0.0, metadata=OPTIONAL)
    pace: float | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Report(Record):
    """One run of `benchmarks run` on one machine.

    constrained : how this machine was held back to resemble a smaller one; its figures are no figures of that one
    digest : SHA-256 over all else; None until it is `sealed`
    label : what the machine is called by who measured it, e.g. "microscope 2"; None: nothing
    """

    schema_version: int
    created: str
    edgescope: str
    device: Device
    constrained: Constraint | None
    data: Data
    protocol: Protocol
    noise: NoiseCheck | None
    rows: tuple[Row, ...]
    digest: str | None
    label: str | None = field(default=None, metadata=OPTIONAL)

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
        """Why its times may be unreliable: a power mode, throttling, a noisy machine."""
        return (*self.device.warnings, *(self.noise.reasons if self.noise else ()))

    def sealed(self) -> "Report":
        """The same report with the digest of its content; do this last."""
        return replace(self, digest=digest(Report.from_dict(self.to_dict()).to_dict()))  # 1 and 1.0 become one


def digest(value: Mapping[str, Any]) -> str:
    """SHA-256 over a report's JSON without the digest itself, whatever its spaces and the order of its fields."""
    content = {name: item for name, item in value.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
