"""Where the time of one frame goes: preprocess, host to device, inference, device to host, postprocess.

A stopwatch is put between the segmenter and the backend's session and runs within the very calls that a host makes.
Cutting all tiles but the first is timed by itself, since it is interleaved with blending; what then remains of the
call is postprocessing. Labels and objects, which are made on demand, are not part of it.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from runtime import Segmenter
from runtime import backend as backends
from runtime.normalize import intensity_range
from runtime.tiling import tiles

from .figures import Stages, StageSamples
from .latency import Latency, summarize, timed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from runtime.artifact import Artifact
    from runtime.backend import Session
    from runtime.normalize import Frame


class Parts(NamedTuple):
    """Milliseconds of one frame; None where the backend's session has but one call for all three steps."""

    preprocess: float
    host_to_device: float | None
    inference: float
    device_to_host: float | None
    postprocess: float
    total: float


class Stopwatch:
    """A session that notes when each tile came and went, while it is told to. See runtime.backend.Session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._steps = session if isinstance(session, backends.Stepwise) else None
        self.description = session.description
        self.notes = False
        self.start()

    @property
    def tells_copies(self) -> bool:
        """Whether copies are told from inference."""
        return self._steps is not None

    def start(self) -> None:
        """Back to nothing."""
        self.first_s: float | None = None
        self.fed_s = self.infer_s = self.fetched_s = 0.0

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Session."""
        if not self.notes:
            return self._session.run(tile)
        start = perf_counter()
        if self.first_s is None:
            self.first_s = start
        if self._steps is None:
            output = self._session.run(tile)
            self.infer_s += perf_counter() - start
            return output
        self._steps.feed(tile)
        fed = perf_counter()
        self._steps.infer()
        ran = perf_counter()
        output = self._steps.fetch()
        self.fed_s += fed - start
        self.infer_s += ran - fed
        self.fetched_s += perf_counter() - ran
        return output

    def close(self) -> None:
        """See Session."""
        self._session.close()


def open_watched(
    artifact: Artifact, backend: str | None, threads: int | None, precision_hint: str | None
) -> tuple[Segmenter, Stopwatch]:
    """The artefact, ready to run as Segmenter.of makes it, with a stopwatch inside."""
    chosen = backends.choose(artifact.manifest, backend)
    watch = Stopwatch(chosen.open(artifact, None, threads, precision_hint))
    return Segmenter(artifact.manifest, chosen.name, watch), watch


def split(segment: Segmenter, watch: Stopwatch, frame: Frame) -> Parts:
    """Segment one frame, mask included, with the stopwatch running. Warm up before."""
    watch.start()
    watch.notes = True
    start = perf_counter()
    np.count_nonzero(segment(frame).mask)
    total = (perf_counter() - start) * 1e3
    watch.notes = False
    pre = ((watch.first_s or start) - start) * 1e3 + _cut(segment, frame)
    model = (watch.fed_s + watch.infer_s + watch.fetched_s) * 1e3
    fed, fetched = (watch.fed_s * 1e3, watch.fetched_s * 1e3) if watch.tells_copies else (None, None)
    return Parts(pre, fed, watch.infer_s * 1e3, fetched, max(0.0, total - model - pre), total)


def sample(segment: Segmenter, watch: Stopwatch, frame: Frame, count: int) -> StageSamples:
    """The stages of `count` frames. Warm up before."""
    columns = zip(*(split(segment, watch, frame) for _ in range(count)), strict=True)
    pre, fed, inference, fetched, post, total = (None if None in column else column for column in columns)
    assert pre and inference and post and total
    return StageSamples(pre, fed, inference, fetched, post, total)


def combine(rounds: Iterable[StageSamples | None]) -> Stages | None:
    """Pool the rounds; None where one has no stages."""
    known = [samples for samples in rounds if samples]
    if not known:
        return None
    return Stages(
        preprocess=_pooled([samples.preprocess for samples in known]),
        host_to_device=_pooled_or_none([samples.host_to_device for samples in known]),
        inference=_pooled([samples.inference for samples in known]),
        device_to_host=_pooled_or_none([samples.device_to_host for samples in known]),
        postprocess=_pooled([samples.postprocess for samples in known]),
        total=_pooled([samples.total for samples in known]),
    )


def _pooled(rounds: Sequence[tuple[float, ...]]) -> Latency:
    return summarize([ms for samples in rounds for ms in samples])


def _pooled_or_none(rounds: Sequence[tuple[float, ...] | None]) -> Latency | None:
    known = [samples for samples in rounds if samples is not None]
    return _pooled(known) if len(known) == len(rounds) else None


def _cut(segment: Segmenter, frame: Frame) -> float:
    """Milliseconds to cut and normalise all tiles but the first."""
    manifest = segment.manifest
    limits = intensity_range(frame, manifest.normalization)
    cut = tiles(frame, manifest.tile, manifest.overlap, limits)
    next(cut)
    return timed(lambda: deque(cut, maxlen=0))
