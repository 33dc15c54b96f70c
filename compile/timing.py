"""How long a frame takes with each of several artefacts, on this machine, through the runtime."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from compile.verify import open_here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from runtime.artifact import Artifact

WARM_UP, ROUNDS = 2, 15


def in_turns(artifacts: Sequence[Artifact], frame: NDArray[Any]) -> list[float | None]:
    """Median milliseconds from frame to mask, of each; None for those whose own backend does not run here.

    One frame each in turn, round after round, each round starting with another one: what slows the machine down for a
    while then slows down all of them.
    """
    with ExitStack() as opened:
        segmenters = [opened.enter_context(open_here(one)) if runs_here(one) else None for one in artifacts]
        times: list[list[float]] = [[] for _ in artifacts]
        for number in range(WARM_UP + ROUNDS):
            for index in turns(len(artifacts), number):
                if (segment := segmenters[index]) is None:
                    continue
                start = perf_counter_ns()
                _ = segment(frame).mask
                times[index].append((perf_counter_ns() - start) / 1e6)
    return [median(found[WARM_UP:]) if found else None for found in times]


def turns(count: int, number: int) -> list[int]:
    """In what order so many take their turns in a round: each round starts with another one."""
    return [(place + number) % count for place in range(count)]


def runs_here(artifact: Artifact) -> bool:
    """Whether `open_here` runs it with its own backend: only then its time says anything."""
    return artifact.manifest.backend != "tensorrt"
