"""The inside of the building process: build one engine, replay the probes with it, time it, and say so.

It is a process of its own because TensorRT may end it: by a fault, or because the memory is used up. It holds nothing
that its parent needs, and ends with it.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ...artifact.probes import ProbeSet, replay
from ...errors import EdgescopeError
from ...system.child import quiet_output
from . import probe
from .api import Recipe, Refused, TensorRTModule
from .engine import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...system.child import Message

WARM_UP, TIMED = 10, 100  # runs
TIMED_S = 20.0  # at most, for slow engines


def main(setup: Mapping[str, Any]) -> None:
    """Do a job and tell of it: {"step": fraction}, {"stage": what}, at the end {"built": figures} or {"failed": why}.

    setup : role, precision, onnx, probes, plan (files), workspace_mb, level, device, threshold, channel
    """
    say = quiet_output()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        say({"built": _work(setup, say)})
    except Exception as error:  # the edge of this process: the parent is told, whatever it was
        told = str(error) if isinstance(error, EdgescopeError) else f"{type(error).__name__}: {error}"
        say({"failed": told, "refused": isinstance(error, Refused)})
    os._exit(0)  # libraries that are still at work must not hold it up


def _work(setup: Mapping[str, Any], say: Callable[[Message], None]) -> Message:
    device, cuda, module = probe.look(setup["device"])
    trt = TensorRTModule(module)
    start = perf_counter()
    network = trt.parse(Path(setup["onnx"]).read_bytes())
    recipe = Recipe(setup["role"], setup["precision"])
    config = trt.configure(network, recipe, setup["workspace_mb"], setup["level"], lambda part: say({"step": part}))
    plan = trt.build(network, config)
    built_s = perf_counter() - start
    Path(setup["plan"]).write_bytes(plan)
    del network, config
    say({"stage": "replay the probes"})
    engine = trt.load(plan)
    if engine is None:
        msg = f"TensorRT does not load the engine that it has just built: {trt.last_words()}"
        raise EdgescopeError(msg)
    runner = Runner(cuda, engine, device.number)
    probes = ProbeSet.from_bytes(Path(setup["probes"]).read_bytes())
    found = replay(runner.run, probes, setup["threshold"], setup["channel"])
    say({"stage": "time it"})
    times = _time(lambda: runner.run(probes.inputs[:1]))
    return {
        "build_s": round(built_s, 3),
        "median_ms": round(float(np.median(times)), 4),
        "p99_ms": round(float(np.percentile(times, 99)), 4),
        "plan_bytes": len(plan),
        "memory_mb": round(engine.memory_bytes / 2**20, 2),
        "graph": runner.graph,
        **asdict(found),
    }


def _time(run: Callable[[], object]) -> list[float]:
    """Milliseconds of runs, each until its result is in host memory; the first ones are not counted."""
    for _ in range(WARM_UP):
        run()
    times: list[float] = []
    end = perf_counter() + TIMED_S
    while len(times) < TIMED and (not times or perf_counter() < end):
        start = perf_counter()
        run()
        times.append(1e3 * (perf_counter() - start))
    return times


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # until the parent closes it or dies
    os._exit(1)
