"""How long each artefact takes for one tile, all in turns: what slows the machine for a while slows all of them.

intel and microscope are opened as the runtime opens them. A jetson bundle is run by onnxruntime with its own
optimisations: a time of a third library on this processor, and none of a Jetson.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from compile.accuracy.verify import not_runnable
from runtime.artifact.artifact import open_artifact
from runtime.execution import Execution
from runtime.segmenter import Segmenter
from runtime.system import extras
from runtime.system.rounds import in_rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runtime.artifact.artifact import Artifact
    from tools.search.plan import TimingSection

LABELS = {
    "intel": "OpenVINO",
    "microscope": "LiteRT, one thread",
    "jetson": "onnxruntime, not a Jetson",
}
ONE_THREAD = {"microscope": 1}  # as on the device that it stands for


@dataclass(frozen=True)
class TileLatency:
    """Milliseconds of a tile: the median of each round, and of all of them."""

    rounds: tuple[float, ...]

    @property
    def ms(self) -> float:
        """The median over the rounds."""
        return median(self.rounds)

    @property
    def spread(self) -> float:
        """How far the middle half of the rounds lies apart, relative to the median."""
        if len(self.rounds) < 2:
            return 0.0
        low, _, high = quantiles(self.rounds, n=4, method="inclusive")
        return (high - low) / self.ms


def ratio(numerator: TileLatency, denominator: TileLatency) -> float:
    """How many times longer one takes than the other: the median of the ratios of the rounds."""
    return median(one / other for one, other in zip(numerator.rounds, denominator.rounds, strict=True))


def in_turns(
    paths: Sequence[Path], timed: TimingSection, step: Callable[[str], None] = lambda what: None
) -> list[TileLatency]:
    """The latency of each artefact; each round starts with another one.

    A turn is a tile that is not timed, for what the others left in the caches, and then `repeats` that are.
    """
    with ExitStack() as opened:
        runs = [_open(open_artifact(path), timed.threads or None, opened) for path in paths]
        tile = np.random.default_rng(0).random((1, 1, timed.tile, timed.tile), np.float32)
        taken = in_rounds(
            runs,
            timed.rounds,
            lambda run, number: _turn(run, tile, timed.repeats),
            lambda number: step(f"round {number + 1} of {timed.rounds}"),
        )
    for error in taken.errors.values():
        raise error
    return [TileLatency(tuple(milliseconds)) for milliseconds in taken.results]


def _turn(run: Callable[[np.ndarray], Any], tile: np.ndarray, repeats: int) -> float:
    run(tile)
    times: list[int] = []
    for _ in range(repeats):
        start = perf_counter_ns()
        run(tile)
        times.append(perf_counter_ns() - start)
    return median(times) / 1e6


def _open(artifact: Artifact, threads: int | None, opened: ExitStack) -> Callable[[np.ndarray], Any]:
    if not_runnable(artifact):
        return _onnxruntime(artifact.payload("onnx"), threads)
    own = ONE_THREAD.get(artifact.manifest.target, threads)
    return opened.enter_context(Segmenter.of(artifact, Execution(threads=own))).run_tile


def _onnxruntime(model: bytes, threads: int | None) -> Callable[[np.ndarray], Any]:
    onnxruntime = extras.load("onnxruntime", extra="onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tile: session.run(None, {name: tile})
