"""OpenVINO: the intel target. The precision hint is pinned, because the default on some CPUs is bf16."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import extras
from ..errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..artifact import Artifact
    from ..manifest import Manifest

HINT = "INFERENCE_PRECISION_HINT"
HINTS = ("f32", "bf16", "f16", "dynamic")


class OpenVINO:
    """See runtime.backend.Backend."""

    name = "openvino"
    extra = "openvino"

    def library(self) -> str | None:
        """See Backend."""
        return "openvino" if extras.available("openvino") else None

    def refuses(self, manifest: Manifest) -> str | None:
        """See Backend."""
        if not {"openvino_xml", "openvino_bin"} <= set(manifest.payload):
            return f"the artefact is for {manifest.target} and holds no OpenVINO model"
        if self.library() is None:
            return f"openvino is not installed; run: {extras.install(self.extra)}"
        return None

    def open(
        self, artifact: Artifact, device: str | None, threads: int | None, precision_hint: str | None = None
    ) -> OpenVINOSession:
        """device: "CPU" (default), "GPU", "NPU", ...; precision_hint: one of HINTS, or the manifest's."""
        core = load_openvino().Core()
        device = _known_device(core, device or "CPU")
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        config[HINT] = _known_hint(precision_hint or artifact.manifest.hints.get(HINT, "f32"))
        if threads is not None and device == "CPU":
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            model = core.read_model(artifact.payload("openvino_xml"), artifact.payload("openvino_bin"))
            compiled = core.compile_model(model, device, config)
        except RuntimeError as error:
            msg = f"OpenVINO cannot load {artifact.path} on {device}: {error}"
            raise EdgescopeError(msg) from error
        return OpenVINOSession(compiled, device, config)


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which on import forks this process and sends a message to the vendor.

    EdgescopeError names the extra when OpenVINO is not installed.
    """
    modules = cast("dict[str, object]", sys.modules)
    hidden = "openvino_telemetry" not in modules
    if hidden:
        modules["openvino_telemetry"] = None  # OpenVINO then takes its own stub, as when that package is missing
    try:
        return extras.load("openvino", extra=OpenVINO.extra)
    finally:
        if hidden:
            del modules["openvino_telemetry"]


class OpenVINOSession:
    """See runtime.backend.Session and Stepwise."""

    def __init__(self, compiled: Any, device: str, config: Mapping[str, Any]) -> None:
        self._request: Any = compiled.create_infer_request()
        self.description = {
            "library": "openvino",
            "version": extras.version("openvino"),
            "device": device,
            "precision_hint": str(config[HINT]),
            "threads": str(config.get("INFERENCE_NUM_THREADS", "chosen by OpenVINO")),
        }

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Session."""
        self.feed(tile)
        self.infer()
        return self.fetch()

    def feed(self, tile: NDArray[np.float32]) -> None:
        """See Stepwise."""
        np.copyto(self._request.get_input_tensor(0).data, tile)

    def infer(self) -> None:
        """See Stepwise. Outputs are shared here, or OpenVINO would copy them, which fetch() does already."""
        self._request.infer(share_outputs=True)

    def fetch(self) -> NDArray[np.float32]:
        """See Stepwise. The result is copied out of OpenVINO's buffer, which the next run overwrites."""
        return np.array(self._request.get_output_tensor(0).data, np.float32)

    def close(self) -> None:
        """See Session."""
        self._request = None


def _known_device(core: Any, device: str) -> str:
    available: list[str] = core.available_devices
    device = device.upper()
    if device not in (*available, *(name.partition(".")[0] for name in available), "AUTO"):
        msg = f"OpenVINO has no device {device} here; it has {', '.join(available)}, AUTO."
        raise InputError(msg)
    return device


def _known_hint(hint: str) -> str:
    if hint not in HINTS:
        msg = f"OpenVINO has no precision hint {hint}; it has {', '.join(HINTS)}."
        raise InputError(msg)
    return hint


BACKEND = OpenVINO()
