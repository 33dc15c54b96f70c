"""Where the time of a frame goes: before the model, in it, and after it.

pre    checks, histogram, flags, normalisation, cutting into tiles
infer  the backend's own inference, with its copies
post   blending, clipping, thresholding
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from runtime import Segmenter
from runtime.artifact import Artifact
from runtime.records import Record

from . import stages
from .latency import warm_up

BUDGET = {512: 0.10, 2048: 0.15}  # share of the total that is not inference, by the frame's side


@dataclass(frozen=True)
class Split(Record):
    """Milliseconds of one frame, medians over the repeats; overhead is (pre + post) / total."""

    side: int
    pre_ms: float
    infer_ms: float
    post_ms: float
    total_ms: float
    overhead: float

    @property
    def passed(self) -> bool | None:
        """Whether the overhead is within the budget; None where there is none for this size."""
        budget = BUDGET.get(self.side)
        return None if budget is None else self.overhead <= budget


def measure(artifact: Artifact, sides: Sequence[int], repeats: int, threads: int | None) -> list[Split]:
    """Segment square uint16 frames of each side; see `stages` for how a frame is taken apart."""
    segment, watch = stages.open_watched(artifact, None, threads, None)
    with segment:
        return [_split(segment, watch, side, repeats) for side in sides]


def _split(segment: Segmenter, watch: stages.Stopwatch, side: int, repeats: int) -> Split:
    frame = np.random.default_rng(0).poisson(800, (side, side)).astype(np.uint16)
    warm_up(lambda: segment(frame))
    parts = [stages.split(segment, watch, frame) for _ in range(repeats)]
    total = median(part.total for part in parts)
    pre = median(part.preprocess for part in parts)
    infer = median((part.host_to_device or 0) + part.inference + (part.device_to_host or 0) for part in parts)
    post = median(part.postprocess for part in parts)
    return Split(side, pre, infer, post, total, (total - infer) / total)
