"""int8 or fp16? Both are built, both replay the probes, both are timed, and the faster one that passes is kept.

INT8 is not always the faster one on a Jetson: what it saves in a convolution it may spend on converting between
formats around narrow layers. So it is measured on the device, for this student and this tile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...artifact.manifest import Tolerance
    from ...artifact.probes import Replay

TIE = 0.02  # of the median: closer than this is noise, and fp16 is nearer to what was trained
REMARKABLE = 0.10  # an int8 that saves less than this is worth a word


@dataclass(frozen=True)
class EngineCandidate(Record):
    """What came of one recipe. Times are milliseconds a tile, copies included; None where it was not built.

    failures : why it is out: every attempt to build it, or what it misses of the probes; empty when it is good
    build_s, spent_s : seconds of the build, and with the probes and the timing
    workspace_mb : what it was given; memory_mb : what it needs on the device besides its weights
    """

    role: str
    precision: str
    failures: tuple[str, ...]
    build_s: float | None = None
    spent_s: float | None = None
    workspace_mb: int | None = None
    median_ms: float | None = None
    p99_ms: float | None = None
    plan_bytes: int | None = None
    memory_mb: float | None = None
    graph: bool | None = None
    probability_max: float | None = None
    probability_mean: float | None = None
    mask_dice: float | None = None

    @property
    def good(self) -> bool:
        """Built, and within the tolerance on the probes."""
        return not self.failures and self.median_ms is not None


@dataclass(frozen=True)
class EngineChoice:
    """The candidate that is kept, and why, in a sentence."""

    kept: EngineCandidate
    reason: str


def choose(candidates: Sequence[EngineCandidate]) -> EngineChoice | None:
    """The fastest good one; None when none is."""
    good = sorted((one for one in candidates if one.good), key=_median)
    if not good:
        return None
    best = good[0]
    if len(good) == 1:
        others = [f"{one.precision} is out ({'; '.join(one.failures)})" for one in candidates if one is not best]
        return EngineChoice(
            best, f"{best.precision} is kept: {' and '.join(others) or 'it is the only one of this bundle'}"
        )
    second = good[1]
    if _median(second) - _median(best) < TIE * _median(second):
        kept, other = sorted((best, second), key=lambda one: one.precision == "int8")
        times = f"{_median(kept):.3f} and {_median(other):.3f} ms"
        return EngineChoice(
            kept, f"{kept.precision} is kept: it is as fast as {other.precision} ({times}), and rounds less"
        )
    saved = 1 - _median(best) / _median(second)
    reason = (
        f"{best.precision} is kept: {_median(best):.3f} ms a tile against {_median(second):.3f} ms of "
        f"{second.precision}, {100 * saved:.0f} % less"
    )
    if best.precision == "int8" and saved < REMARKABLE:
        reason += "; that is little, and a bundle in fp16 rounds less"
    return EngineChoice(best, reason)


def misses(replay: Replay, tolerance: Tolerance, *, rounded: bool) -> tuple[str, ...]:
    """What of the probes an engine misses.

    rounded : whether it rounds as the reference does. The reference of an int8 bundle rounds to int8. An engine in fp16
        does not, so that single pixels near an edge may be a whole code's worth apart: its maximum is not judged, but
        its mean and its mask are.
    """
    return replay.misses(tolerance if rounded else replace(tolerance, probability_max=1.0))


def _median(candidate: EngineCandidate) -> float:
    assert candidate.median_ms is not None
    return candidate.median_ms
