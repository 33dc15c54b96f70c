"""How long a frame takes with each of several artefacts, on this machine, through the runtime."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from compile.accuracy.verify import not_runnable, open_here
from runtime.system.rounds import in_rounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from runtime.artifact.artifact import Artifact
    from runtime.segmenter import Segmenter

WARM_UP, ROUNDS = 2, 15


def in_turns(artifacts: Sequence[Artifact], frame: NDArray[Any]) -> list[float | None]:
    """Median milliseconds from frame to mask, of each; None for those whose own backend does not run here.

    One frame each in turn, round after round, each round starting with another one: what slows the machine down for a
    while then slows down all of them.
    """
    with ExitStack() as opened:
        segmenters = [None if not_runnable(one) else opened.enter_context(open_here(one)) for one in artifacts]

        def milliseconds(segment: Segmenter, number: int) -> float:
            start = perf_counter_ns()
            _ = segment(frame).mask
            return (perf_counter_ns() - start) / 1e6

        taken = in_rounds([one for one in segmenters if one], WARM_UP + ROUNDS, milliseconds)
    for error in taken.errors.values():
        raise error
    medians = iter([median(times[WARM_UP:]) for times in taken.results])
    return [None if segment is None else next(medians) for segment in segmenters]
