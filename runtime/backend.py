"""The contract of what executes an artefact, and the choice among what is there.

A backend is one file in backends/; the file's name is the backend's name, and listing the names imports none.
A backend's module imports nothing heavy either: the library behind it is imported by open().
"""

from __future__ import annotations

import logging
import pkgutil
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from . import backends
from .errors import BackendFailed, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from .artifact import Artifact
    from .manifest import Manifest
    from .progress import Progress

log = logging.getLogger(__name__)

REFERENCE = "onnxruntime"  # what runs where an artefact's own backend cannot


class Session(Protocol):
    """A model, loaded and ready to run. Not to be entered by two threads at once."""

    @property
    def description(self) -> Mapping[str, str]:
        """What runs it: library, its version, device, threads, precision hint."""
        ...

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """tile: float32 (1, 1, h, w) in [0, 1]. Returns probabilities, a fresh float32 array (1, C, h, w)."""
        ...

    def close(self) -> None:
        """Release the model; calling it again does nothing."""
        ...


@runtime_checkable
class Stepwise(Protocol):
    """A session that can do in three steps what run() does in one call, so that a benchmark times each of them.

    A backend whose library has but one call does not offer this; its copies cannot be told from its inference.
    """

    def feed(self, tile: NDArray[np.float32]) -> None:
        """Copy the tile to where the model reads it, on the device where that has memory of its own."""
        ...

    def infer(self) -> None:
        """Run the model on it, and return when it is done."""
        ...

    def fetch(self) -> NDArray[np.float32]:
        """Copy the result to the host, as run() returns it."""
        ...


class Backend(Protocol):
    """What executes an artefact. A module in backends/ holds one as BACKEND."""

    @property
    def name(self) -> str:
        """The name of its file."""
        ...

    @property
    def extra(self) -> str:
        """The pip extra that brings its library."""
        ...

    def library(self) -> str | None:
        """Name of the importable library behind it, or None when none is installed. Imports nothing."""
        ...

    def refuses(self, manifest: Manifest) -> str | None:
        """Why it cannot run this artefact here, with what to install; None when it can. Cheap."""
        ...

    def open(
        self, artifact: Artifact, device: str | None, threads: int | None, precision_hint: str | None = None
    ) -> Session:
        """Load the payload. InputError for a device or hint that this backend does not have.

        BackendFailed when it cannot run this artefact on this device, though another backend may.
        """
        ...


@dataclass(frozen=True)
class Preparation:
    """How `prewarm` wants it done. None is the backend's own choice.

    cache : the folder that keeps it; again : make it anew; limit_s : of one attempt; tell : is called all the while
    """

    device: str | None
    precision_hint: str | None
    cache: Path | None
    again: bool
    limit_s: float | None
    tell: Callable[[Progress], None]


@dataclass(frozen=True)
class Prepared:
    """What was made before the first run: lines for a person, and the same for machines."""

    lines: tuple[str, ...]
    facts: Mapping[str, Any]


class Prepares(Protocol):
    """A backend that makes something on the device before the first run, and keeps it."""

    def unprepared(self, artifact: Artifact, device: str | None) -> str | None:
        """Why opening would first take minutes to make it; None when it is there, or soon made."""
        ...

    def prepare(self, artifact: Artifact, how: Preparation) -> Prepared:
        """Make it now, or find it made."""
        ...


class Concurrent(Protocol):
    """A backend that can run several tiles of a frame at once."""

    def open_concurrent(
        self, artifact: Artifact, device: str | None, threads: int | None, precision_hint: str | None = None
    ) -> ConcurrentSession:
        """As Backend.open, tuned for many tiles in place of one; threads : for all of them together."""
        ...


class ConcurrentSession(Session, Protocol):
    """A session that `requests` threads may enter at once."""

    @property
    def requests(self) -> int:
        """How many tiles at once are best."""
        ...


def concurrent(backend: Backend) -> Concurrent:
    """The backend, if it can run several tiles at once; InputError when it cannot."""
    if not hasattr(backend, "open_concurrent"):
        msg = f"The {backend.name} backend runs one tile at a time, and knows no throughput mode; leave it out."
        raise InputError(msg)
    return cast("Concurrent", backend)


def requests_of(session: Session) -> int:
    """How many threads may run a session at once."""
    return cast("ConcurrentSession", session).requests if hasattr(session, "requests") else 1


def names() -> tuple[str, ...]:
    """The backends there are, by name, whether or not they can run here."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(backends.__path__)))


def load(name: str) -> Backend:
    """The backend of this name; InputError lists the names when there is none."""
    if name not in names():
        msg = f"There is no backend {name}; there are {', '.join(names())}."
        raise InputError(msg)
    return cast("Backend", import_module(f"{backends.__name__}.{name}").BACKEND)


def refusal(name: str, manifest: Manifest) -> str | None:
    """Why this backend cannot run the artefact here, or None."""
    if name in names():
        return load(name).refuses(manifest)
    return f"this version of runtime has no such backend; it has {', '.join(names())}"


def preparing(backend: Backend) -> Prepares | None:
    """The backend, if it has something to make before the first run."""
    return cast("Prepares", backend) if hasattr(backend, "prepare") else None


def open_session(
    artifact: Artifact,
    wanted: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision_hint: str | None = None,
) -> tuple[str, Session]:
    """Choose a backend and open the artefact with it: the backend's name, and the session.

    Where nothing in particular is wanted, and the artefact's own backend fails on this device, onnxruntime steps in
    with a warning, as it does where that backend is not installed.
    """
    chosen = choose(artifact.manifest, wanted)
    try:
        return chosen.name, chosen.open(artifact, device, threads, precision_hint)
    except BackendFailed as error:
        particular = wanted is not None or device is not None or precision_hint is not None
        if particular or chosen.name == REFERENCE or refusal(REFERENCE, artifact.manifest):
            raise
        _warn_of_check(artifact.manifest, str(error))
    return REFERENCE, load(REFERENCE).open(artifact, None, threads)


def choose(manifest: Manifest, wanted: str | None = None) -> Backend:
    """The backend that is to run an artefact: the wanted one, or else its own, or else onnxruntime as a check.

    InputError with every reason when none can.
    """
    if wanted is not None:
        if reason := refusal(wanted, manifest):
            msg = f"Backend {wanted} cannot run {manifest.student} for {manifest.target}: {reason}."
            raise InputError(msg)
        return load(wanted)
    own = manifest.backend
    reasons = {own: refusal(own, manifest)}
    if reasons[own] is None:
        return load(own)
    reasons[REFERENCE] = refusal(REFERENCE, manifest)
    if reasons[REFERENCE] is None:
        _warn_of_check(manifest, reasons[own])
        return load(REFERENCE)
    msg = f"Nothing here can run {manifest.student} for {manifest.target}: " + "; ".join(
        f"{name}: {reason}" for name, reason in reasons.items()
    )
    raise InputError(msg + ".")


def _warn_of_check(manifest: Manifest, reason: str | None) -> None:
    log.warning(
        "%s runs on the CPU with onnxruntime: a check of the bundle, not of the device, and not its speed (%s)",
        manifest.student, reason,
    )  # fmt: skip
