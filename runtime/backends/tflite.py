"""TFLite: the microscope target. LiteRT first, the older tflite-runtime as a fallback (needs numpy < 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import Backend, refuse_other_than_cpu
from ..errors import EdgescopeError
from ..system import extras, first_open

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..artifact.artifact import Artifact
    from ..artifact.manifest import Manifest
    from ..execution import Execution

LIBRARIES = ("ai_edge_litert", "tflite_runtime")


class TFLite(Backend):
    """See runtime.backend.Backend."""

    name = "tflite"
    extra = "litert"
    rank = 30
    distributions = ("ai-edge-litert", "tflite-runtime")

    def library(self) -> str | None:
        """See Backend."""
        return next((name for name in LIBRARIES if extras.available(name)), None)

    def refuses(self, manifest: Manifest) -> str | None:
        """See Backend."""
        if "tflite" not in manifest.payload:
            return f"the artefact is for {manifest.target} and holds no TFLite model"
        if self.library() is None:
            return f"neither ai-edge-litert nor tflite-runtime is installed; run: {extras.install(self.extra)}"
        return None

    def open(self, artifact: Artifact, execution: Execution) -> TFLiteSession:
        """device: "CPU" or None; threads: 1 if None; precision_hint: none are known."""
        refuse_other_than_cpu(self.name, execution)
        try:
            return self._open(artifact, execution, 1)
        except (ValueError, RuntimeError) as error:
            msg = f"{self.library()} cannot load {artifact.path}: {error}"
            raise EdgescopeError(msg) from error

    def open_batched(self, artifact: Artifact, batch: int, execution: Execution) -> TFLiteSession:
        """See Backend: by resizing the input."""
        try:
            return self._open(artifact, execution, batch)
        except (ValueError, RuntimeError) as error:
            msg = f"{self.library()} gives it no batch of {batch}: it is built for one tile (a static batch of 1)"
            raise EdgescopeError(msg) from error

    def _open(self, artifact: Artifact, execution: Execution, batch: int) -> TFLiteSession:
        library, threads = self.library() or LIBRARIES[0], execution.threads or 1
        first_open.check(artifact.payload("tflite"), library, self.extra)
        module = extras.load(f"{library}.interpreter", extra=self.extra)
        interpreter = module.Interpreter(model_content=artifact.payload("tflite"), num_threads=threads)
        if batch > 1:
            details = interpreter.get_input_details()[0]
            interpreter.resize_tensor_input(details["index"], [batch, *details["shape"][1:]])
        interpreter.allocate_tensors()
        return TFLiteSession(interpreter, artifact.manifest, library, threads)


class TFLiteSession:
    """See runtime.backend.Session and Stepwise.

    Channels-last models are fed and read channels-last, here and nowhere else.
    """

    def __init__(self, interpreter: Any, manifest: Manifest, library: str, threads: int) -> None:
        self._interpreter: Any = interpreter
        self._input = interpreter.get_input_details()[0]
        self._output = interpreter.get_output_details()[0]
        self._input_last = manifest.inputs[0].layout == "NHWC"
        self._output_last = manifest.outputs[0].layout == "NHWC"
        for what, tensor in (("input", self._input), ("output", self._output)):
            if tensor["dtype"] is not np.float32:
                msg = f"The TFLite model's {what} is {tensor['dtype'].__name__}; this backend needs float32 there."
                raise EdgescopeError(msg)
        self.description = {
            "library": library,
            "version": extras.version(library),
            "device": "CPU",
            "precision_hint": "none",
            "threads": str(threads),
        }

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Session."""
        self.feed(tile)
        self.infer()
        return self.fetch()

    def feed(self, tile: NDArray[np.float32]) -> None:
        """See Stepwise."""
        fed = np.ascontiguousarray(np.moveaxis(tile, 1, 3)) if self._input_last else tile
        self._interpreter.set_tensor(self._input["index"], fed)

    def infer(self) -> None:
        """See Stepwise."""
        self._interpreter.invoke()

    def fetch(self) -> NDArray[np.float32]:
        """See Stepwise."""
        output: NDArray[np.float32] = self._interpreter.get_tensor(self._output["index"])  # a copy
        return np.ascontiguousarray(np.moveaxis(output, 3, 1)) if self._output_last else output

    def close(self) -> None:
        """See Session."""
        self._interpreter = None


BACKEND = TFLite()
