"""TFLite: the microscope target. LiteRT first, the older tflite-runtime as a fallback (needs numpy < 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import extras
from ..errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..artifact import Artifact
    from ..manifest import Manifest

LIBRARIES = ("ai_edge_litert", "tflite_runtime")


class TFLite:
    """See runtime.backend.Backend."""

    name = "tflite"
    extra = "litert"

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

    def open(
        self, artifact: Artifact, device: str | None, threads: int | None, precision_hint: str | None = None
    ) -> TFLiteSession:
        """device: "CPU" or None; threads: 1 if None; precision_hint: none are known."""
        if (device or "CPU").upper() != "CPU":
            msg = f"The tflite backend runs on the CPU only, not on {device}; leave the device out."
            raise InputError(msg)
        if precision_hint is not None:
            msg = f"The tflite backend has no precision hint, but got {precision_hint}; leave it out."
            raise InputError(msg)
        library = self.library() or LIBRARIES[0]
        module = extras.load(f"{library}.interpreter", extra=self.extra)
        try:
            interpreter = module.Interpreter(model_content=artifact.payload("tflite"), num_threads=threads or 1)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            msg = f"{library} cannot load {artifact.path}: {error}"
            raise EdgescopeError(msg) from error
        return TFLiteSession(interpreter, artifact.manifest, library, threads or 1)


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
