"""What each layer of an artefact takes on this machine, to be read by people, and to predict other artefacts from.

The file holds the device, so that costs of several devices, submitted by several people, can be read together.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from benchmarks.host.device import Constraint, Device
from benchmarks.host.fingerprint import fingerprint
from benchmarks.host.profiles import held_back
from benchmarks.inputs.artifacts import name_of, open_artifacts, unique_names
from benchmarks.report.files import read_record
from benchmarks.report.names import called
from benchmarks.report.table import harmless
from runtime import __version__
from runtime import backend as backends
from runtime.artifact.artifact import Artifact
from runtime.errors import InputError
from runtime.execution import Execution
from runtime.profiles import LayerTime
from runtime.records import Record

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class LayeredArtifact(Record):
    """One artefact. ms : of the network as a whole, median; its layers were timed in other runs, with counters on"""

    name: str
    tile: tuple[int, int]
    ms: float
    layers: tuple[LayerTime, ...]


@dataclass(frozen=True)
class LayerCosts(Record):
    """All artefacts on one machine. constrained : how it was held back; label : what its owner calls it"""

    schema_version: int
    created: str
    edgescope: str
    device: Device
    constrained: Constraint | None
    threads: int | None
    label: str | None
    artifacts: tuple[LayeredArtifact, ...]

    @property
    def machine(self) -> str:
        """What the machine is called, with its limits and threads."""
        name = called(self.label, self.device, self.constrained)
        return f"{name}, {self.threads} threads" if self.threads else name


def layers(
    artifacts: Sequence[str | Path | Artifact],
    threads: int | None = None,
    repeats: int = 20,
    limits: Constraint | None = None,
    label: str | None = None,
    step: Callable[[str], None] = lambda what: None,
) -> LayerCosts:
    """Time the layers; InputError for an artefact whose backend does not tell of its layers."""
    opened = open_artifacts(artifacts)
    names = unique_names(map(name_of, opened))
    execution = Execution(threads=threads)
    timed: list[LayeredArtifact] = []
    with held_back(limits):
        for name, artifact in zip(names, opened, strict=True):
            step(name)
            backend = backends.choose(artifact.manifest)
            layers = backend.layer_times(artifact, execution, repeats)
            profile = backend.profile(artifact, execution)
            if layers is None or profile is None:
                msg = f"The backend {backend.name} of {name} tells nothing about layers; leave this artefact out."
                raise InputError(msg)
            profile.run()
            ms = median(profile.run() for _ in range(repeats))
            timed.append(LayeredArtifact(name, artifact.manifest.tile, ms, layers))
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return LayerCosts(SCHEMA_VERSION, now, __version__, fingerprint(), limits, threads, label, tuple(timed))


def to_csv(costs: LayerCosts) -> str:
    """A line per layer, numbers in cells of their own."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["artefact", "layer", "kind", "runs in", "multiply-adds", "elements", "ms"])
    for one in costs.artifacts:
        for layer in one.layers:
            words = (harmless(word) for word in (one.name, layer.name, layer.kind, layer.runs_in))
            lines.writerow([*words, layer.multiply_adds, layer.elements, f"{layer.ms:.6g}"])
    return text.getvalue()


def read_costs(path: Path) -> LayerCosts:
    """Read what `layers --out` wrote; InputError names the file, and the field or version that does not fit."""
    return read_record(path, LayerCosts, SCHEMA_VERSION, "no file of layer costs")
