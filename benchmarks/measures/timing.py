"""What one artefact costs, measured in a process that does nothing else: load, first frame, tiles, frames, memory."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measures import stages
from benchmarks.measures.figures import Memory, Round, Timing
from benchmarks.measures.latency import sample, summarize, timed
from benchmarks.measures.memory import Levels, taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.measures.job import MeasureJob
    from runtime import Segmenter

FRAMES_MS = 30e3  # frames are timed as often as tiles, but for no longer than this
STAGES_PER_FRAMES = 3  # a frame is taken apart once for every three that are timed, at least thrice
SEED = 0


def time_artifact(job: MeasureJob) -> Round:
    """One round. Loading counts everything a host waits for: checksums, the library's import, compilation."""
    frame = np.load(job.frame, allow_pickle=False)
    before = Levels.now()
    opened: list[tuple[Segmenter, stages.Stopwatch]] = []
    load_ms = timed(lambda: opened.append(job.open_watched()))
    segment, watch = opened[0]
    with segment:
        first_frame_ms = timed(lambda: stages.run_until(segment, frame, job.until))
        tile = np.random.default_rng(SEED).random((1, 1, *segment.manifest.tile), dtype=np.float32)
        tile_ms = sample(lambda: segment.run_tile(tile), job.repeats)
        frame_ms = sample(
            lambda: stages.run_until(segment, frame, job.until),
            job.repeats,
            FRAMES_MS,
            least_ms=1e3 * job.least_s,
            period_ms=1e3 / job.pace if job.pace else None,
        )
        count = max(3, min(len(frame_ms), job.repeats) // STAGES_PER_FRAMES)
        taken_apart = stages.sample(segment, watch, frame, count, job.until)
        memory = taken(before, Levels.now())
        return Round(load_ms, first_frame_ms, tile_ms, frame_ms, taken_apart, memory)


def combine(rounds: Sequence[Round], reference: Sequence[Round], frame_shape: tuple[int, int]) -> Timing:
    """Pool the rounds of one row. The noise of a shared machine hits a round as a whole, so ratios are paired."""
    ratios = [median(theirs.frame_ms) / median(ours.frame_ms) for ours, theirs in zip(rounds, reference, strict=True)]
    return Timing(
        load_ms=median(r.load_ms for r in rounds),
        first_frame_ms=median(r.first_frame_ms for r in rounds),
        tile_ms=summarize([ms for r in rounds for ms in r.tile_ms]),
        frame_ms=summarize([ms for r in rounds for ms in r.frame_ms]),
        frame_shape=frame_shape,
        stages=stages.combine(r.stages for r in rounds),
        speedup=median(ratios),
        rounds=tuple(rounds),
    )


def typical_memory(rounds: Sequence[Round]) -> Memory:
    """Each figure's median over the rounds that have it."""
    each = [r.memory for r in rounds]
    return Memory(
        baseline_mb=median(memory.baseline_mb for memory in each),
        steady_mb=_median(memory.steady_mb for memory in each),
        peak_mb=median(memory.peak_mb for memory in each),
        device_mb=_median(memory.device_mb for memory in each),
        available_drop_mb=_median(memory.available_drop_mb for memory in each),
    )


def _median(values: Iterable[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return median(measured) if measured else None
