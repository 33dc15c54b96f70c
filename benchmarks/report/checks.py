"""Whether a report's figures follow from the samples in it: who invents a figure and its digest is found out, too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.measures.latency import summarize
from runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measures.figures import Quality, Timing
    from benchmarks.measures.latency import Latency
    from benchmarks.report.report import Row

CLOSE = 1e-6  # relative: libraries of another version may round otherwise


MOST = 1e15  # of any figure: no machine has as many bytes, and no run takes as many milliseconds
NEVER_NEGATIVE = ("size_bytes", "threads", "peak_mb", "baseline_mb", "steady_mb", "load_ms", "first_frame_ms", "frames")


def impossible(value: object, path: str = "") -> Iterator[str]:
    """Numbers in a report's JSON that nothing measures, by their path: beyond MOST, or below 0 where nothing is."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from impossible(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from impossible(item, f"{path}[{index}]")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        name = path.rpartition(".")[2]
        if not -MOST <= value <= MOST or (value < 0 and name in NEVER_NEGATIVE):
            yield path


def contradictions(rows: Sequence[Row], images: int) -> Iterator[str]:
    """What does not fit in the rows of a report, by the field's path; nothing where all was measured."""
    for index, row in enumerate(rows):
        if row.timing:
            yield from (f"rows[{index}].timing.{name}" for name in _timing(row.timing))
        if row.quality:
            yield from (f"rows[{index}].quality.{name}" for name in _quality(row.quality))
            if len(row.quality.images) != images:
                yield f"rows[{index}].quality.images: {len(row.quality.images)} of {images}"


def _timing(timing: Timing) -> Iterator[str]:
    for name in ("tile_ms", "frame_ms"):
        samples = [ms for one in timing.rounds for ms in getattr(one, name)]
        if not samples or min(samples) < 0 or not _same(getattr(timing, name), summarize(samples)):
            yield name


def _quality(quality: Quality) -> Iterator[str]:
    """A metric that is not installed here cannot be checked."""
    installed = metrics.names()
    images = [{name: parts for name, parts in image.parts.items() if name in installed} for image in quality.images]
    try:
        expected = metrics.summarize(images) if images else {}
    except (TypeError, ValueError, ArithmeticError):  # of parts that no metric gives
        yield "images"
        return
    for name in sorted({*expected, *(name for name in quality.metrics if name in installed)}):
        stored, computed = quality.metrics.get(name), expected.get(name)
        if stored is None or computed is None:
            yield name
        elif (
            not _near(stored.mean, computed.mean)
            or not _near(stored.pooled, computed.pooled)
            or stored.images != computed.images
        ):
            yield name


def _same(stored: Latency, computed: Latency) -> bool:
    return all(_near(one, other) for one, other in zip(_values(stored), _values(computed), strict=True))


def _values(latency: Latency) -> tuple[float | None, ...]:
    middle = (latency.p50, latency.p90, latency.p95, latency.p99)
    return (latency.count, *middle, latency.max, latency.mean, latency.sd, latency.mad, latency.iqr)


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-9)
