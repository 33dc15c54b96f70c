"""TensorRT: the jetson target. Engines are built, timed, proved and kept on the device, without torch and pycuda.

precision_hint: "auto" (default) builds int8 and fp16 and keeps the faster one that passes the probes; "int8", "fp16"
and "fp32" build that one alone.

prepare.py is the main flow. probe.py says what is there, api.py is the one code path over TensorRT 8.5 to 11,
builder.py starts the process that build.py is the inside of, choice.py decides between int8 and fp16, cache.py keeps
the result, engine.py runs it, and cuda.py is the little of libcudart that this takes.

None of this has ever run on a real Jetson, and the commands say so with NEVER_RUN.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from ...backend import Backend, Prepared
from ...errors import EdgescopeError, InputError
from ...system import cache_folder, extras
from . import prepare, probe
from .prepare import HINTS, LIMIT_S, EnginePlace, Wish

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...artifact.artifact import Artifact
    from ...artifact.manifest import Manifest
    from ...backend import Preparation
    from ...execution import Execution
    from ...system.progress import Progress
    from .choice import EngineCandidate
    from .prepare import Ready
    from .probe import EngineDevice

log = logging.getLogger(__name__)

NEVER_RUN = (
    "TensorRT's backend has never run on a real Jetson: it is tested with a stand-in for the driver, and its building "
    "with TensorRT-RTX on a CPU"
)
ROLES = ("onnx_fp16_qdq", "onnx_fp16", "onnx")
KIND = "engines"  # folder of the cache
TOLD_EVERY_S = 30.0  # a host that opens a bundle without `prewarm` is told by the log that it goes on


class TensorRT(Backend):
    """See runtime.backend.Backend."""

    name = "tensorrt"
    extra = "tensorrt"
    hints = HINTS
    distributions = ("tensorrt", "tensorrt-rtx-cu13-bindings")
    from_system = True
    rank = 10

    def library(self) -> str | None:
        """See Backend."""
        return probe.LIBRARY if extras.available(probe.LIBRARY) else None

    def refuses(self, manifest: Manifest) -> str | None:
        """See Backend."""
        if not any(role in manifest.payload for role in ROLES):
            return f"the artefact is for {manifest.target} and holds no ONNX model for TensorRT"
        return probe.absence()

    def open(self, artifact: Artifact, execution: Execution) -> TensorRTSession:
        """device: "GPU" (default), "CUDA:1", ...; threads: not used; precision_hint: one of HINTS.

        The first time it builds the engine, which takes minutes; `python -m runtime prewarm` does so beforehand.
        """
        wish = Wish(artifact, _known_hint(execution.precision_hint), _Log())
        place = EnginePlace.of(execution.device, cache_folder.locate(KIND))
        _warn_of_board(artifact.manifest, place.device)
        return TensorRTSession(prepare.open_engine(place, wish), place, wish.hint)

    def notes(self) -> tuple[str, ...]:
        """See Backend."""
        return (NEVER_RUN,)

    def state(self) -> dict[str, str]:
        """See Backend."""
        return {**probe.state(), "missing": probe.absence() or "nothing"}

    def unprepared(self, artifact: Artifact, device: str | None) -> str | None:
        """See Backend."""
        wish = Wish(artifact, HINTS[0], _Log())
        try:
            reason = prepare.unprepared(EnginePlace.of(device, cache_folder.locate(KIND)), wish)
        except EdgescopeError as error:
            return str(error)
        return reason and f"its engine is not built here ({reason}); run: python -m runtime prewarm {artifact.path}"

    def prepare(self, artifact: Artifact, how: Preparation) -> Prepared:
        """See Backend."""
        limit_s = LIMIT_S if how.limit_s is None else how.limit_s
        hint = _known_hint(how.precision_hint)
        place = EnginePlace.of(how.device, cache_folder.locate(KIND, how.cache))
        _warn_of_board(artifact.manifest, place.device)
        made = prepare.open_engine(place, Wish(artifact, hint, how.tell, how.again, True, limit_s))
        made.runner.close()
        start = monotonic()
        opened = prepare.open_engine(place, Wish(artifact, hint, how.tell))
        first_s = monotonic() - start
        opened.runner.close()
        return _report(made, place, how, first_s)


class TensorRTSession:
    """See runtime.backend.Session."""

    def __init__(self, ready: Ready, place: EnginePlace, hint: str) -> None:
        self._runner = ready.runner
        because = ready.runner.eager_because
        self.description = {
            "library": "tensorrt",
            "version": place.device.tensorrt,
            "device": f"{place.device.name} (SM {place.device.sm})",
            "precision_hint": hint,
            "threads": "of the GPU",
            "engine": f"{ready.sidecar.kept}, built here {ready.sidecar.built}",
            "cuda_graph": "replayed" if because is None else f"none: {because}",
        }

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Session."""
        return self._runner.run(tile)

    def close(self) -> None:
        """See Session."""
        self._runner.close()


class _Log:
    """Tells the log of a build that nobody watches."""

    def __init__(self) -> None:
        self._told = monotonic()

    def __call__(self, progress: Progress) -> None:
        if monotonic() - self._told > TOLD_EVERY_S:
            self._told = monotonic()
            log.warning("%s", progress)


def _known_hint(hint: str | None) -> str:
    if (hint or HINTS[0]) not in HINTS:
        msg = f"TensorRT has no precision hint {hint}; it has {', '.join(HINTS)}."
        raise InputError(msg)
    return hint or HINTS[0]


def _warn_of_board(manifest: Manifest, device: EngineDevice) -> None:
    """Compiled for one board and opened on another: it runs, and what was expected does not hold."""
    board = manifest.board
    if board is None or (device.board and all(word in device.board for word in board.words)):
        return
    log.warning(
        "%s was compiled for %s, and this is %s: it runs, but what it expects of memory and precision does not hold",
        manifest.student, board.name, device.board or device.name,
    )  # fmt: skip


def _report(made: Ready, place: EnginePlace, how: Preparation, first_s: float) -> Prepared:
    sidecar = made.sidecar
    device, software = place.device, f"TensorRT {place.device.tensorrt}, CUDA {place.device.driver}"
    jetson = f", Jetson Linux {device.l4t}" if device.l4t else ""
    lines = [
        f"device     {device.board or device.name}, {device.name}, SM {device.sm}; {software}{jetson}",
        f"engine     {made.path}",
        "built      " + ("before: it is in the cache" if made.built_because is None else f"now: {made.built_because}"),
        *(f"{one.precision:<10} {_figures(one)}" for one in sidecar.candidates),
        f"kept       {sidecar.why}",
        f"first open {first_s:.1f} s from now on",
    ]
    if how.cache is not None:
        lines.append(f"found      only where {cache_folder.VARIABLE}={how.cache} is set")
    if how.precision_hint not in (None, HINTS[0]):
        lines.append(f'found      only when it is opened with precision_hint="{how.precision_hint}"')
    facts = {
        "engine": str(made.path),
        "built_now_because": made.built_because,
        "first_open_s": round(first_s, 3),
        "device": {"name": device.name, "sm": device.sm, "board": device.board, "l4t": device.l4t},
        "sidecar": sidecar.to_dict(),
    }
    return Prepared(tuple(lines), facts)


def _figures(one: EngineCandidate) -> str:
    if one.median_ms is None:
        return f"not built: {'; '.join(one.failures)}"
    times = f"{one.median_ms:.3f} ms a tile (p99 {one.p99_ms:.3f})"
    told = f"built in {one.build_s:.1f} s, {times}, mask Dice {one.mask_dice:.5f}"
    return told + (f"; out: {'; '.join(one.failures)}" if one.failures else "")


BACKEND = TensorRT()
