"""What one fresh process is to measure."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.inputs.source import ImageSource
from benchmarks.measures.figures import OBJECTS
from benchmarks.measures.stages import Stopwatch, open_watched
from runtime import Segmenter, open_artifact
from runtime.execution import Execution
from runtime.records import OPTIONAL, Record

Task = Literal["score", "time", "throughput", "sustain", "energy"]


@dataclass(frozen=True)
class MeasureJob(Record):
    """One artefact, run in one way.

    name : the row's; frame : a .npy file to time; pictures : the folder for them
    until : where a timed frame ends
    diameter : of the objects, as `runtime predict --diameter` takes it; None is "auto"
    least_s : of a round's frames, for a percentile that holds; pace : frames a second of a camera; None: back to back
    power_csv : a meter's file, for the energy; None: the machine's own counter
    minutes : of a sustained run; memory_limit_mb : of the measuring process; None: no limit
    """

    name: str
    artifact: str
    execution: Execution
    repeats: int
    frame: str
    source: ImageSource
    pictures: str | None
    until: str = OBJECTS
    diameter: str | None = None
    minutes: float = 0.0
    memory_limit_mb: int | None = None
    least_s: float = field(default=0.0, metadata=OPTIONAL)
    pace: float | None = field(default=None, metadata=OPTIONAL)
    power_csv: str | None = field(default=None, metadata=OPTIONAL)

    def open(self) -> Segmenter:
        """The artefact, ready to run."""
        return Segmenter.of(open_artifact(Path(self.artifact)), self.execution, diameter=self.diameter)

    def open_watched(self) -> tuple[Segmenter, Stopwatch]:
        """The same, with a stopwatch between the segmenter and the backend."""
        return open_watched(open_artifact(Path(self.artifact)), self.execution, self.diameter)
