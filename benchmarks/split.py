"""Where the time of a frame goes: before the model, in it, and after it.

pre    checks, histogram, flags, normalisation, cutting into tiles
infer  the backend's own inference
post   blending, clipping, thresholding
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from runtime import Segmenter
from runtime import backend as backends
from runtime.artifact import Artifact
from runtime.backend import Session
from runtime.normalize import intensity_range
from runtime.records import Record
from runtime.tiling import tiles

from .latency import timed, warm_up

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


class Stopwatch:
    """A session that notes when each tile came and went. See runtime.backend.Session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.description = session.description
        self.first_s = self.infer_s = 0.0

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Session."""
        start = perf_counter()
        output = self._session.run(tile)
        if not self.infer_s:
            self.first_s = start
        self.infer_s += perf_counter() - start
        return output

    def close(self) -> None:
        """See Session."""
        self._session.close()


def measure(artifact: Artifact, sides: Sequence[int], repeats: int, threads: int | None) -> list[Split]:
    """Segment square uint16 frames of each side. Inference and the way to the first tile are timed within the very
    calls; cutting the other tiles is timed by itself, and what then remains is post."""
    chosen = backends.choose(artifact.manifest)
    watch = Stopwatch(chosen.open(artifact, None, threads))
    with Segmenter(artifact.manifest, chosen.name, watch) as segment:
        return [_split(segment, watch, side, repeats) for side in sides]


def _split(segment: Segmenter, watch: Stopwatch, side: int, repeats: int) -> Split:
    frame = np.random.default_rng(0).poisson(800, (side, side)).astype(np.uint16)
    warm_up(lambda: segment(frame))
    parts = np.median([_once(segment, watch, frame) for _ in range(repeats)], axis=0)
    pre, infer, post, total = (float(part) for part in parts)
    return Split(side, pre, infer, post, total, (total - infer) / total)


def _once(segment: Segmenter, watch: Stopwatch, frame: NDArray[np.uint16]) -> tuple[float, float, float, float]:
    """Milliseconds: pre, infer, post, total."""
    watch.infer_s = 0.0
    start = perf_counter()
    np.count_nonzero(segment(frame).mask)
    total = (perf_counter() - start) * 1e3
    pre = (watch.first_s - start) * 1e3 + _cut(segment, frame)
    infer = watch.infer_s * 1e3
    return pre, infer, total - infer - pre, total


def _cut(segment: Segmenter, frame: NDArray[np.uint16]) -> float:
    """Milliseconds to cut and normalise all tiles but the first."""
    manifest = segment.manifest
    limits = intensity_range(frame, manifest.normalization)
    cut = tiles(frame, manifest.tile, manifest.overlap, limits)
    next(cut)
    return timed(lambda: deque(cut, maxlen=0))
