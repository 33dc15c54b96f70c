"""A backend that runs the payload role `pocket`; where POCKET_BREAKS is set it fails at every frame after the first."""

import os

import numpy as np

from runtime.backend import Backend, Prepared, refuse_other_than_cpu
from runtime.system import extras


class Pocket(Backend):
    name = "pocket"
    extra = "onnxruntime"
    rank = 15

    def library(self):
        return "onnxruntime" if extras.available("onnxruntime") else None

    def refuses(self, manifest):
        return None if "pocket" in manifest.payload else f"the artefact is for {manifest.target}, nothing for a pocket"

    def open(self, artifact, execution):
        refuse_other_than_cpu(self.name, execution)
        library = extras.load("onnxruntime", extra=self.extra)
        options = library.SessionOptions()
        options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = execution.threads or 1
        model = library.InferenceSession(artifact.payload("pocket"), options, ["CPUExecutionProvider"])
        return PocketSession(model, execution.threads or 1)

    def notes(self):
        return ("A pocket is small.",)

    def devices(self):
        return {"POCKET": "left front pocket"}

    def prepare(self, artifact, how):
        return Prepared(("pocket     turned inside out",), {"turned": True})


class PocketSession:
    def __init__(self, model, threads):
        self._model, self._runs = model, 0
        self.description = {
            "library": "pocket", "version": "7", "device": "POCKET", "precision_hint": "none", "threads": str(threads),
        }  # fmt: skip

    def run(self, tile):
        self._runs += 1
        if os.environ.get("POCKET_BREAKS") and self._runs > 1:
            raise RuntimeError("the pocket has a hole")
        return self._model.run(None, {self._model.get_inputs()[0].name: tile})[0].astype(np.float32, copy=False)

    def close(self):
        self._model = None


BACKEND = Pocket()
