"""Ways to send many tiles through one artefact: in batches, or several at once. One class for each library's way.

A model that takes but one tile at a time is an EdgescopeError that says so.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import psutil

from runtime.backends.openvino import HINT, load_openvino
from runtime.errors import EdgescopeError
from runtime.extras import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from typing_extensions import Self

    from runtime.artifact import Artifact
    from runtime.backend import Backend


@dataclass(frozen=True)
class Setup:
    """What is run, and how. threads: of all requests together; None leaves them to the library."""

    artifact: Artifact
    backend: Backend
    threads: int | None
    precision_hint: str | None


class Stream(Protocol):
    """Many tiles in, many results out; a context that releases the model."""

    batch: int
    requests: int

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tiles (N, 1, h, w), N a multiple of the batch -> probabilities (N, C, h, w), in their order."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *ended: object) -> None: ...


class Sessions:
    """As many sessions of any backend as requests, each in a thread of its own. No batches."""

    def __init__(self, setup: Setup, batch: int, requests: int) -> None:
        if batch > 1:
            msg = f"{setup.backend.name} takes one tile at a time (a static batch of 1)"
            raise EdgescopeError(msg)
        self.batch, self.requests = batch, requests
        threads = threads_each(setup.threads, requests)
        self._sessions = [
            setup.backend.open(setup.artifact, None, threads, setup.precision_hint) for _ in range(requests)
        ]
        self._pool = ThreadPoolExecutor(requests)

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Stream. Every session takes each n-th tile, so that no session is entered by two threads."""
        if self.requests == 1:
            return np.concatenate([self._sessions[0].run(tile[None]) for tile in tiles])
        return shared_out(self._pool, [session.run for session in self._sessions], tiles)

    def __enter__(self) -> Sessions:
        return self

    def __exit__(self, *ended: object) -> None:
        self._pool.shutdown()
        for session in self._sessions:
            session.close()


class OpenVINOStream:
    """Asynchronous requests of one model, compiled for throughput; in batches where it can be reshaped."""

    def __init__(self, setup: Setup, batch: int, requests: int) -> None:
        self.batch, self.requests = batch, requests
        openvino, artifact = load_openvino(), setup.artifact
        core = openvino.Core()
        session = setup.backend.open(artifact, None, setup.threads, setup.precision_hint)
        hint = session.description["precision_hint"]
        session.close()
        config: dict[str, Any] = {HINT: hint, "PERFORMANCE_HINT": "THROUGHPUT" if requests > 1 else "LATENCY"}
        if requests > 1:
            config["PERFORMANCE_HINT_NUM_REQUESTS"] = requests
        if setup.threads is not None:
            config["INFERENCE_NUM_THREADS"] = setup.threads
        try:
            model = core.read_model(artifact.payload("openvino_xml"), artifact.payload("openvino_bin"))
            if batch > 1:
                model.reshape([batch, 1, *artifact.manifest.tile])
            compiled = core.compile_model(model, "CPU", config)
        except RuntimeError as error:
            msg = f"OpenVINO cannot give this model a batch of {batch}: it is built for one tile (a static batch of 1)"
            raise EdgescopeError(msg) from error
        self._queue = openvino.AsyncInferQueue(compiled, requests)
        self._queue.set_callback(self._keep)
        self._results: dict[int, NDArray[np.float32]] = {}

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Stream."""
        for start in range(0, len(tiles), self.batch):
            self._queue.start_async([tiles[start : start + self.batch]], start)
        self._queue.wait_all()
        return np.concatenate([self._results.pop(start) for start in range(0, len(tiles), self.batch)])

    def _keep(self, request: Any, start: int) -> None:
        self._results[start] = np.array(request.get_output_tensor(0).data, np.float32)

    def __enter__(self) -> OpenVINOStream:
        return self

    def __exit__(self, *ended: object) -> None:
        self._queue.wait_all()


class LiteRTStream:
    """Batches by resizing the input; several at once by as many interpreters in threads."""

    def __init__(self, setup: Setup, batch: int, requests: int) -> None:
        self.batch, self.requests = batch, requests
        library = setup.backend.library() or "ai_edge_litert"
        manifest = setup.artifact.manifest
        self._input_last = manifest.inputs[0].layout == "NHWC"
        self._output_last = manifest.outputs[0].layout == "NHWC"
        model = setup.artifact.payload("tflite")
        module = load(f"{library}.interpreter", extra=setup.backend.extra)
        threads = threads_each(setup.threads, requests) or 1
        try:
            made = [module.Interpreter(model_content=model, num_threads=threads) for _ in range(requests)]
            self._interpreters = [_resized(interpreter, batch) for interpreter in made]
        except (ValueError, RuntimeError) as error:
            msg = f"{library} cannot give this model a batch of {batch}: it is built for one tile (a static batch of 1)"
            raise EdgescopeError(msg) from error
        self._pool = ThreadPoolExecutor(requests)

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Stream."""
        parts = tiles.reshape(-1, self.batch, *tiles.shape[1:])
        if self.requests == 1:
            return np.concatenate([self._one(self._interpreters[0], part) for part in parts])
        runs = [lambda tile, one=interpreter: self._one(one, tile) for interpreter in self._interpreters]
        return shared_out(self._pool, runs, tiles)

    def _one(self, interpreter: Any, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        fed = np.ascontiguousarray(np.moveaxis(tiles, 1, 3)) if self._input_last else tiles
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], fed)
        interpreter.invoke()
        output: NDArray[np.float32] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return np.ascontiguousarray(np.moveaxis(output, 3, 1)) if self._output_last else output

    def __enter__(self) -> LiteRTStream:
        return self

    def __exit__(self, *ended: object) -> None:
        self._pool.shutdown()
        self._interpreters = []


WAYS: dict[str, Callable[[Setup, int, int], Stream]] = {
    "openvino": OpenVINOStream,
    "tflite": LiteRTStream,
}  # of other backends: Sessions


def usable_cores() -> int:
    """Cores this process may run on."""
    affinity = psutil.Process().cpu_affinity() if hasattr(psutil.Process, "cpu_affinity") else None
    return len(affinity or ()) or psutil.cpu_count() or 1


def threads_each(threads: int | None, requests: int) -> int | None:
    """Requests share the threads that were asked for, or else the cores; one alone has the library's own number."""
    if requests == 1:
        return threads
    return max(1, (threads or usable_cores()) // requests)


def shared_out(pool: ThreadPoolExecutor, runs: list[Any], tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run n takes the tiles n, n + N, n + 2 N, ...; the results come back in the tiles' order."""
    count = len(runs)

    def every(number: int) -> list[NDArray[np.float32]]:
        return [runs[number](tile[None]) for tile in tiles[number::count]]

    results = list(pool.map(every, range(count)))
    return np.concatenate([results[index % count][index // count] for index in range(len(tiles))])


def _resized(interpreter: Any, batch: int) -> Any:
    if batch > 1:
        details = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(details["index"], [batch, *details["shape"][1:]])
    interpreter.allocate_tensors()
    return interpreter
