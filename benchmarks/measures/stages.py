"""Where the time of one frame goes: before the model, the model with its copies, blending, labels, objects.

A stopwatch is put between the segmenter and the backend's session and runs within the very calls that a host makes.
Cutting all tiles but the first is timed by itself, since it is interleaved with blending; what then remains of the
call is postprocessing. `until` says where the frame ends, and the stages after that are not run.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from benchmarks.measures.figures import LABELS, MASK, NETWORK, OBJECTS, Stages, StageSamples
from benchmarks.measures.latency import Latency, summarize, timed
from runtime import Segmenter
from runtime import backend as backends
from runtime.frames.normalize import check_frame, intensity_range
from runtime.frames.resize import resize
from runtime.frames.scale import AS_IT_IS, resized_shape
from runtime.frames.tiling import tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from runtime.artifact.artifact import Artifact
    from runtime.backend import Session
    from runtime.execution import Execution
    from runtime.frames.normalize import Frame
    from runtime.frames.scale import Scale
    from runtime.frames.tiling import TilePlace
    from runtime.segmentation.result import Segmentation

Finish: TypeAlias = "Callable[[Segmentation, Frame | None], object]"

FINISH: Mapping[str, Finish] = {  # a result keeps its labels, so that objects() makes them at most once
    MASK: lambda result, frame: result.mask,
    LABELS: lambda result, frame: result.labels(),
    OBJECTS: lambda result, frame: result.objects(frame),
}
STEPS = {MASK: (MASK,), LABELS: (LABELS,), OBJECTS: (LABELS, OBJECTS)}  # that follow the maps, by where the frame ends


class Parts(NamedTuple):
    """Milliseconds of one frame; None for what the backend's session cannot tell apart, or comes after the end."""

    preprocess: float
    host_to_device: float | None
    inference: float
    device_to_host: float | None
    postprocess: float | None
    labels: float | None
    objects: float | None
    total: float


class Stopwatch:
    """A session that records the start and end of each tile, if asked to. See runtime.backend.Session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._steps = session if isinstance(session, backends.Stepwise) else None
        self.description = session.description
        self.notes = False
        self.start()

    @property
    def tells_copies(self) -> bool:
        """Whether copies are measured separately from inference."""
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


def open_watched(artifact: Artifact, execution: Execution, diameter: str | None = None) -> tuple[Segmenter, Stopwatch]:
    """The artefact, ready to run as Segmenter.of makes it, with a stopwatch inside."""
    name, session = backends.open_session(artifact, execution)
    watch = Stopwatch(session)
    return Segmenter(artifact.manifest, name, watch, diameter=diameter), watch


def run_until(segment: Segmenter, frame: Frame, until: str) -> None:
    """Segment one frame as far as `until`: what is timed as a frame everywhere.

    "network": checked, its size of objects seen, normalised, cut, and each tile run, without blending; else the
    result's mask, labels or objects.
    """
    if until == NETWORK:
        check_frame(frame)
        for _, pixels in _given_tiles(segment, frame, segment.scale_of(frame)):
            segment.run_tile(pixels)
    else:
        FINISH[until](segment(frame), frame)


def split(segment: Segmenter, watch: Stopwatch, frame: Frame, until: str) -> Parts:
    """Segment one frame as far as `until`, with the stopwatch running. Warm up before."""
    watch.start()
    watch.notes = True
    scale = AS_IT_IS
    start = perf_counter()
    if until == NETWORK:
        run_until(segment, frame, until)
        marks = [perf_counter()]
    else:
        result = segment(frame)
        scale = result.scale
        marks = [perf_counter(), *(_done_at(FINISH[step], result, frame) for step in STEPS[until])]
    watch.notes = False
    total = (marks[-1] - start) * 1e3
    model = (watch.fed_s + watch.infer_s + watch.fetched_s) * 1e3
    fed, fetched = (watch.fed_s * 1e3, watch.fetched_s * 1e3) if watch.tells_copies else (None, None)
    if until == NETWORK:
        return Parts(total - model, fed, watch.infer_s * 1e3, fetched, None, None, None, total)
    took = {step: (after - before) * 1e3 for step, before, after in zip(STEPS[until], marks, marks[1:], strict=False)}
    pre = ((watch.first_s or start) - start) * 1e3 + _cut(segment, frame, scale)
    post = max(0.0, (marks[0] - start) * 1e3 - model - pre) + took.get(MASK, 0.0)
    return Parts(pre, fed, watch.infer_s * 1e3, fetched, post, took.get(LABELS), took.get(OBJECTS), total)


def sample(segment: Segmenter, watch: Stopwatch, frame: Frame, count: int, until: str) -> StageSamples:
    """The stages of `count` frames. Warm up before."""
    columns = zip(*(split(segment, watch, frame, until) for _ in range(count)), strict=True)
    pre, fed, inference, fetched, post, labels, objects, total = (
        None if None in column else column for column in columns
    )
    assert pre and inference and total
    return StageSamples(pre, fed, inference, fetched, post, total, labels, objects)


def combine(rounds: Iterable[StageSamples | None]) -> Stages | None:
    """Pool the rounds; None where one has no stages."""
    complete = [samples for samples in rounds if samples]
    if not complete:
        return None
    return Stages(
        preprocess=_pooled([samples.preprocess for samples in complete]),
        host_to_device=_pooled_or_none([samples.host_to_device for samples in complete]),
        inference=_pooled([samples.inference for samples in complete]),
        device_to_host=_pooled_or_none([samples.device_to_host for samples in complete]),
        postprocess=_pooled_or_none([samples.postprocess for samples in complete]),
        total=_pooled([samples.total for samples in complete]),
        labels=_pooled_or_none([samples.labels for samples in complete]),
        objects=_pooled_or_none([samples.objects for samples in complete]),
    )


def _pooled(rounds: Sequence[tuple[float, ...]]) -> Latency:
    return summarize([ms for samples in rounds for ms in samples])


def _pooled_or_none(rounds: Sequence[tuple[float, ...] | None]) -> Latency | None:
    complete = [samples for samples in rounds if samples is not None]
    return _pooled(complete) if len(complete) == len(rounds) else None


def _done_at(finish: Finish, result: Segmentation, frame: Frame) -> float:
    finish(result, frame)
    return perf_counter()


def _cut(segment: Segmenter, frame: Frame, scale: Scale) -> float:
    """Milliseconds to cut and normalise all tiles but the first."""
    cut = _given_tiles(segment, frame, scale)
    next(cut)
    return timed(lambda: deque(cut, maxlen=0))


def _given_tiles(segment: Segmenter, frame: Frame, scale: Scale) -> Iterator[tuple[TilePlace, NDArray[np.float32]]]:
    """What the model is given for a frame, after its size was seen."""
    manifest = segment.manifest
    limits = intensity_range(frame, manifest.normalization)
    if scale.factor != 1.0:
        frame = resize(frame, resized_shape((frame.shape[0], frame.shape[1]), scale.factor))
    return tiles(frame, manifest.tile, manifest.overlap, limits)
