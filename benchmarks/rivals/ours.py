"""Ours: a student's artefact with tiles of one size, from a frame to its objects, as a host runs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from benchmarks.measures import stages
from benchmarks.rivals.network import BLEND, LABELS, NETWORK, OBJECTS, PRE, NetworkJob, RivalNetwork, Run, TimedFrame
from runtime.artifact.artifact import open_artifact
from runtime.execution import Execution
from runtime.registry import Registry

RIVALS = Registry[RivalNetwork]("rivals", "benchmarks.rivals.networks", "NETWORK")
OURS = "edgescope"


@dataclass(frozen=True)
class Edgescope:
    """The stages are those of `benchmarks run`."""

    title: str = "edgescope"
    description: str = "the student's INT8 artefact for this machine, run by its own backend; its own maps and objects"
    requirements: tuple[str, ...] = ()
    with_torch: bool = False
    packages: tuple[str, ...] = ()

    def open(self, frame: NDArray[Any], truth: NDArray[Any], job: NetworkJob) -> Run:
        """The true labels are not looked at: our maps are those of the student."""
        artifact = open_artifact(Path(job.artifact or ""))
        segment, watch = stages.open_watched(artifact, Execution(threads=job.threads))
        counted: list[int] = []

        def run() -> TimedFrame:
            parts = stages.split(segment, watch, frame, job.until)
            network = parts.inference + (parts.host_to_device or 0) + (parts.device_to_host or 0)
            taken = (parts.preprocess, network, parts.postprocess, parts.labels, parts.objects)
            names = (PRE, NETWORK, BLEND, LABELS, OBJECTS)
            ms = {name: one for name, one in zip(names, taken, strict=True) if one is not None}
            if not counted and job.needs_maps:
                counted.append(int(segment(frame).labels().max(initial=0)))
            return TimedFrame(ms, counted[0] if counted else None)

        return run


def load(name: str) -> RivalNetwork:
    """Ours, or the rival of this name; InputError lists the rivals when there is none."""
    return Edgescope() if name == OURS else RIVALS.load(name)
