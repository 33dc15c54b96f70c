"""Where the time of a frame goes: before the model, in it, and after it.

pre    checks, histogram, flags, normalisation, cutting into tiles
infer  the backend's own inference, with its copies
post   blending and clipping; the mask, where the frame ends there
labels, objects   what follows, where the frame goes on to them
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.inputs.stream import draw_frame
from benchmarks.measures import stages
from benchmarks.measures.latency import warm_up
from runtime import Segmenter
from runtime.artifact.artifact import Artifact
from runtime.execution import Execution
from runtime.records import Record

BUDGET = {512: 0.10, 2048: 0.15}  # share of the total that is not inference, by the frame's side


@dataclass(frozen=True)
class FrameSplit(Record):
    """Milliseconds of one frame, medians over the repeats.

    overhead : share of the time until the maps or the mask that is not inference, 0 to 1
    """

    side: int
    pre_ms: float
    infer_ms: float
    post_ms: float | None
    labels_ms: float | None
    objects_ms: float | None
    total_ms: float
    overhead: float

    @property
    def passed(self) -> bool | None:
        """Whether the overhead is within the budget; None where there is none for this size."""
        budget = BUDGET.get(self.side)
        return None if budget is None else self.overhead <= budget


def measure(
    artifact: Artifact, sides: Sequence[int], repeats: int, threads: int | None, until: str
) -> list[FrameSplit]:
    """Segment square uint16 frames of discs like nuclei, of each side; see `stages` for how a frame is taken apart."""
    segment, watch = stages.open_watched(artifact, Execution(threads=threads))
    with segment:
        return [_split(segment, watch, side, repeats, until) for side in sides]


def _split(segment: Segmenter, watch: stages.Stopwatch, side: int, repeats: int, until: str) -> FrameSplit:
    frame = draw_frame((side, side), 16, seed=0)
    warm_up(lambda: stages.run_until(segment, frame, until))
    parts = [stages.split(segment, watch, frame, until) for _ in range(repeats)]
    total = median(part.total for part in parts)
    pre = median(part.preprocess for part in parts)
    infer = median((part.host_to_device or 0) + part.inference + (part.device_to_host or 0) for part in parts)
    post, labels, objects = (
        _median(getattr(part, name) for part in parts) for name in ("postprocess", "labels", "objects")
    )
    maps = total - (labels or 0.0) - (objects or 0.0)
    return FrameSplit(side, pre, infer, post, labels, objects, total, (maps - infer) / maps)


def _median(values: Iterable[float | None]) -> float | None:
    """None for a stage that was not run."""
    measured = [value for value in values if value is not None]
    return median(measured) if measured else None
