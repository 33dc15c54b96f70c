"""OpenVINO: the intel target. The precision hint is pinned, because the default on some CPUs is bf16."""

from __future__ import annotations

import logging
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ...backend import Backend, Prepared
from ...errors import EdgescopeError, InputError
from ...execution import DEFAULT, Execution
from ...system import extras
from .compiled import CompiledModels
from .library import EXTRA, load_openvino

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ...artifact.artifact import Artifact
    from ...artifact.manifest import Manifest
    from ...backend import Preparation
    from ...profiles import ConvolutionLayer, LayerTime, Profile

HINT = "INFERENCE_PRECISION_HINT"
HINTS = ("f32", "bf16", "f16", "dynamic")
AUTO = "AUTO"  # OpenVINO's own choice
CACHE = CompiledModels("openvino")

log = logging.getLogger(__name__)


class OpenVINO(Backend):
    """See runtime.backend.Backend."""

    name = "openvino"
    extra = EXTRA
    rank = 20
    concurrent = True  # OpenVINO says itself how many requests are best on the device
    hints = HINTS
    distributions = ("openvino",)

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

    def open(self, artifact: Artifact, execution: Execution) -> OpenVINOSession:
        """device: "CPU" (default), "GPU", "GPU.1", "NPU", "AUTO"; precision_hint: one of HINTS, or the manifest's."""
        core = load_openvino().Core()
        device = _known_device(core, execution.device or "CPU")
        config = settings(artifact.manifest.hints, device, execution)
        try:
            compiled, where = _compiled(core, artifact, device, config)
            return OpenVINOSession(compiled, device, config, where)
        except RuntimeError as error:
            msg = f"OpenVINO cannot load {artifact.path} on {device}: {error}"
            raise EdgescopeError(msg) from error

    def open_batched(self, artifact: Artifact, batch: int, execution: Execution) -> OpenVINOSession:
        """See Backend: by giving the model another shape."""
        core = load_openvino().Core()
        config = settings(artifact.manifest.hints, "CPU", execution)
        try:
            model = core.read_model(artifact.payload("openvino_xml"), artifact.payload("openvino_bin"))
            model.reshape([batch, 1, *artifact.manifest.tile])
            return OpenVINOSession(core.compile_model(model, "CPU", config), "CPU", config, "now")
        except RuntimeError as error:
            msg = f"OpenVINO gives this model no batch of {batch}: it is built for one tile (a static batch of 1)"
            raise EdgescopeError(msg) from error

    def profile(self, artifact: Artifact, execution: Execution) -> Profile:
        """See Backend."""
        from .profile import profile

        return profile(artifact, settings(artifact.manifest.hints, "CPU", execution))

    def profile_layer(self, layer: ConvolutionLayer, precision: str, execution: Execution) -> Profile:
        """See Backend."""
        from .profile import profile_layer

        return profile_layer(layer, precision, settings({}, "CPU", execution))

    def layer_times(self, artifact: Artifact, execution: Execution, repeats: int) -> tuple[LayerTime, ...]:
        """See Backend."""
        from .profile import layer_times

        return layer_times(artifact, settings(artifact.manifest.hints, "CPU", execution), repeats)

    def prepare(self, artifact: Artifact, how: Preparation) -> Prepared:
        """Open it, which compiles the model and keeps it; and open it again, as the next process will."""
        if how.cache or how.again or how.limit_s:
            msg = "openvino knows no --cache, --again or --limit; leave them out (EDGESCOPE_CACHE names its folder)."
            raise InputError(msg)
        seconds: list[float] = []
        wheres: list[str] = []
        for _ in range(2):
            start = perf_counter()
            session = self.open(artifact, Execution(device=how.device, precision_hint=how.precision_hint))
            seconds.append(perf_counter() - start)
            wheres.append(session.description["compiled"])
            session.close()
        lines = (
            f"compiled   {wheres[0]}; opening took {seconds[0]:.2f} s",
            f"opening    takes {seconds[1]:.2f} s now (the model was compiled {wheres[1]})",
        )
        return Prepared(lines, {"compiled": wheres[0], "first_open_s": seconds[0], "open_s": seconds[1]})

    def devices(self) -> dict[str, str]:
        """What OpenVINO finds on this machine: "CPU", "GPU.0", ... to the device's full name. Imports OpenVINO."""
        core = load_openvino().Core()
        return {name: str(core.get_property(name, "FULL_DEVICE_NAME")) for name in core.available_devices}


def settings(hints: Mapping[str, str], device: str = "CPU", execution: Execution = DEFAULT) -> dict[str, Any]:
    """OpenVINO's properties for a model with these hints. InputError for an unknown hint."""
    hint = _known_hint(execution.precision_hint or hints.get(HINT, "f32"))
    config: dict[str, Any] = {"PERFORMANCE_HINT": execution.performance.upper(), HINT: hint}
    if execution.threads is not None and device == "CPU":
        config["INFERENCE_NUM_THREADS"] = execution.threads
    if execution.requests is not None:
        config["PERFORMANCE_HINT_NUM_REQUESTS"] = execution.requests
    return config


class OpenVINOSession:
    """See runtime.backend.ConcurrentSession and Stepwise; with the latency hint there is one request."""

    def __init__(self, compiled: Any, device: str, config: Mapping[str, Any], where: str) -> None:
        latency = config["PERFORMANCE_HINT"] == "LATENCY"
        asked: int | None = 1 if latency else config.get("PERFORMANCE_HINT_NUM_REQUESTS")
        self.requests: int = asked or max(1, int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
        requests = [InferRequest(compiled, device) for _ in range(self.requests)]
        self._first: Any = requests[0]
        self._idle: Any = SimpleQueue()
        for request in requests:
            self._idle.put(request)
        self.description = {
            "library": "openvino",
            "version": extras.version("openvino"),
            "device": device,
            "precision_hint": str(config[HINT]),
            "threads": str(config.get("INFERENCE_NUM_THREADS", "chosen by OpenVINO")),
            "performance_hint": str(config["PERFORMANCE_HINT"]),
            "requests": str(self.requests),
            "compiled": where,
        }

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Session. Several threads may be in here, as many as there are requests."""
        request = self._idle.get()
        try:
            request.feed(tile)
            request.infer()
            return request.fetch()
        finally:
            self._idle.put(request)

    def feed(self, tile: NDArray[np.float32]) -> None:
        """See Stepwise, which is for one thread: its three steps share a request."""
        self._first.feed(tile)

    def infer(self) -> None:
        """See Stepwise."""
        self._first.infer()

    def fetch(self) -> NDArray[np.float32]:
        """See Stepwise."""
        return self._first.fetch()

    def close(self) -> None:
        """See Session."""
        self._first = self._idle = None


class InferRequest:
    """Runs one tile at a time. On the CPU the model reads the tile and writes the result where they are: no copies."""

    def __init__(self, compiled: Any, device: str) -> None:
        self._request: Any = compiled.create_infer_request()
        self._own = self._request.get_input_tensor(0), self._request.get_output_tensor(0)
        self._shares = device == "CPU"
        self._tensor: Any = load_openvino().Tensor
        self._held: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None  # OpenVINO itself holds on to none

    def feed(self, tile: NDArray[np.float32]) -> None:
        """tile : float32 (1, 1, h, w), not to be changed before `fetch`."""
        if not self._shares:
            np.copyto(self._own[0].data, tile)
            return
        result = np.empty(tuple(self._own[1].shape), np.float32)
        self._held = np.require(tile, np.float32, ["C", "W"]), result
        self._bind(*(self._tensor(array, shared_memory=True) for array in self._held))

    def infer(self) -> None:
        """Outputs are shared here, or OpenVINO would copy them."""
        self._request.infer(share_outputs=True)

    def fetch(self) -> NDArray[np.float32]:
        """The result, an array of its own, which the next run leaves as it is."""
        if self._held is None:
            return np.array(self._own[1].data, np.float32)
        self._bind(*self._own)  # before tile and result can be freed by their owners
        (_, result), self._held = self._held, None
        return result

    def _bind(self, tile: Any, result: Any) -> None:
        self._request.set_input_tensor(0, tile)
        self._request.set_output_tensor(0, result)


def _compiled(core: Any, artifact: Artifact, device: str, config: Mapping[str, Any]) -> tuple[Any, str]:
    """The model for the device, and whether it was compiled now or by an earlier process (see compiled.py)."""
    xml, weights = artifact.payload("openvino_xml"), artifact.payload("openvino_bin")
    if device.startswith(AUTO):  # which device runs it may change on the way, so there is nothing to keep
        return core.compile_model(core.read_model(xml, weights), device, config), "now"
    full_name = core.get_property(device, "FULL_DEVICE_NAME")
    depends_on = (xml, weights, extras.version("openvino"), device, str(full_name), repr(sorted(config.items())))
    if (kept := CACHE.find(*depends_on)) is not None:
        try:
            return core.import_model(kept, device, config), "by an earlier run"
        except RuntimeError:  # OpenVINO looks at its own version and at the instructions of the CPU
            log.info("OpenVINO refused the cached model; it is compiled again")
    compiled = core.compile_model(core.read_model(xml, weights), device, config)
    try:
        CACHE.keep(compiled.export_model().getvalue(), *depends_on)
    except RuntimeError as error:  # not every device can
        log.info("OpenVINO cannot export the compiled model of %s: %s", device, error)
    return compiled, "now"


def _known_device(core: Any, device: str) -> str:
    """The device in capitals: one that is there, AUTO, or AUTO with some that are there, as in AUTO:GPU,CPU."""
    available: list[str] = core.available_devices
    known = {*available, *(name.partition(".")[0] for name in available)}
    device = device.upper()
    first, colon, listed = device.partition(":")
    asked = listed.split(",") if first == AUTO and colon else [] if device == AUTO else [device]
    if missing := [name for name in asked if name not in known]:
        msg = f"OpenVINO has no device {', '.join(missing)} here; it has {', '.join(available)}, {AUTO}."
        raise InputError(msg)
    return device


def _known_hint(hint: str) -> str:
    if hint not in HINTS:
        msg = f"OpenVINO has no precision hint {hint}; it has {', '.join(HINTS)}."
        raise InputError(msg)
    return hint


BACKEND = OpenVINO()
