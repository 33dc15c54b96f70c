"""onnxruntime on the CPU with graph optimisation disabled: the reference that probes are made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import Backend, refuse_other_than_cpu
from ..errors import EdgescopeError
from ..system import extras

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..artifact.artifact import Artifact
    from ..artifact.manifest import Manifest
    from ..execution import Execution


class OnnxRuntime(Backend):
    """See runtime.backend.Backend."""

    name = "onnxruntime"
    extra = "onnxruntime"
    distributions = ("onnxruntime",)
    rank = 40
    reference = True

    def library(self) -> str | None:
        """See Backend."""
        return "onnxruntime" if extras.available("onnxruntime") else None

    def refuses(self, manifest: Manifest) -> str | None:
        """See Backend."""
        if "onnx" not in manifest.payload:
            return f"the artefact is for {manifest.target} and holds no ONNX model for the reference"
        if self.library() is None:
            return f"onnxruntime is not installed; run: {extras.install(self.extra)}"
        return None

    def open(self, artifact: Artifact, execution: Execution) -> OnnxRuntimeSession:
        """device: "CPU" or None; precision_hint: none are known."""
        refuse_other_than_cpu(self.name, execution)
        library = extras.load("onnxruntime", extra=self.extra)
        options = library.SessionOptions()
        options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        if execution.threads is not None:
            options.intra_op_num_threads = execution.threads
        try:
            session = library.InferenceSession(artifact.payload("onnx"), options, ["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base but this
            msg = f"onnxruntime cannot load {artifact.path}: {error}"
            raise EdgescopeError(msg) from error
        return OnnxRuntimeSession(session, execution.threads)


class OnnxRuntimeSession:
    """See runtime.backend.Session."""

    def __init__(self, session: Any, threads: int | None) -> None:
        self._session: Any = session
        self._input = session.get_inputs()[0].name
        self.description = {
            "library": "onnxruntime",
            "version": extras.version("onnxruntime"),
            "device": "CPU",
            "precision_hint": "none",
            "threads": "chosen by onnxruntime" if threads is None else str(threads),
        }

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Session."""
        output: NDArray[Any] = self._session.run(None, {self._input: tile})[0]
        return output.astype(np.float32, copy=False)

    def close(self) -> None:
        """See Session."""
        self._session = None


BACKEND = OnnxRuntime()
