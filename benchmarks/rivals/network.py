"""The contract of a network that is timed from a frame to its objects, in a process of its own.

A file of the folder networks/ offers NETWORK. It is opened by the Python of the environment in which its packages are
(see `benchmarks/rivals/flow.py`), so it imports them only when it is opened, and nothing of ours but this contract.

Weights are untrained: how long a network takes does not depend on them. But how long its post-processing takes depends
on its maps, and those of an untrained network are noise. So the network runs, its output is put aside, and
post-processing goes on with the maps that a perfect network would give: the frame's true labels, made into maps by the
package's own functions for training targets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.records import Record

PRE, NETWORK, BLEND, LABELS, OBJECTS = STAGES = ("pre", "network", "blend", "labels", "objects")  # in order
ENDS = (NETWORK, LABELS, OBJECTS)  # where a timed frame may end


@dataclass(frozen=True)
class NetworkJob(Record):
    """One network on one frame.

    frame : a .npy file of uint16 (H, W); truth : one of int32 (H, W), its true labels
    repeats : timed calls at most; seconds : no further call is begun after that long, but two are made
    memory_mb : more than this is not taken from the system; None sets no limit
    artifact : of ours
    until : the stage that a frame ends with, of ENDS
    """

    network: str
    frame: str
    truth: str
    threads: int
    repeats: int
    seconds: float
    memory_mb: int | None
    artifact: str | None
    until: str

    @property
    def needs_maps(self) -> bool:
        """Whether anything follows the network."""
        return self.until != NETWORK


@dataclass(frozen=True)
class TimedFrame:
    """One frame: milliseconds of its stages, in order; and how many objects it has, where it goes that far."""

    ms: Mapping[str, float]
    objects: int | None


Run = Callable[[], TimedFrame]
Stage = Callable[[Any], Any]


class RivalNetwork(Protocol):
    """What a file of networks/ offers as NETWORK.

    title, description : for people; what is built, and what its post-processing is
    requirements : what the environment needs, in pip's notation; empty: this environment has it
    with_torch : the CPU's build of torch will do
    packages : whose versions belong in the report"""

    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def requirements(self) -> tuple[str, ...]: ...
    @property
    def with_torch(self) -> bool: ...
    @property
    def packages(self) -> tuple[str, ...]: ...

    def open(self, frame: NDArray[Any], truth: NDArray[Any], job: NetworkJob) -> Run:
        """Build the network, and what it needs for post-processing if job.until goes beyond the network.

        frame : uint16 (H, W); truth : int32 (H, W), its true labels
        """
        ...


def in_stages(frame: NDArray[Any], until: str, *, pre: Stage, network: Stage, labels: Stage) -> Run:
    """A rival's frame: each stage takes what the one before it returned, the first one the frame, as far as `until`.

    labels : returns a label image (H, W), whose objects are then measured by object_rows
    """
    stages = {PRE: pre, NETWORK: network, LABELS: labels, OBJECTS: lambda image: object_rows(image, frame)}
    names = list(stages)[: list(stages).index(until) + 1]

    def run() -> TimedFrame:
        ms: dict[str, float] = {}
        result: Any = frame
        for name in names:
            start = perf_counter_ns()
            result = stages[name](result)
            ms[name] = (perf_counter_ns() - start) / 1e6
        if until == OBJECTS:
            return TimedFrame(ms, len(result["label"]))
        return TimedFrame(ms, len(np.unique(result[result > 0])) if until == LABELS else None)

    return run


def object_rows(labels: NDArray[Any], frame: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
    """The columns that our objects have, by scikit-image: no rival's package has such a table of its own."""
    from skimage.measure import regionprops_table

    return regionprops_table(
        labels,
        frame,
        properties=(
            "label", "area", "centroid", "bbox", "perimeter", "axis_major_length", "axis_minor_length", "orientation",
            "eccentricity", "solidity", "intensity_mean", "intensity_min", "intensity_max", "intensity_std",
        ),
    )  # fmt: skip
