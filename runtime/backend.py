"""The contract of what executes an artefact, and the choice among what is there.

A backend is one file or folder in backends/; its name is the backend's name, and listing the names imports none.
A backend's module imports nothing heavy either: the library behind it is imported by open().
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from .errors import BackendFailed, EdgescopeError, InputError
from .execution import DEFAULT, Execution
from .registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from .artifact.artifact import Artifact
    from .artifact.manifest import Manifest
    from .profiles import ConvolutionLayer, LayerTime, Profile
    from .system.progress import Progress

log = logging.getLogger(__name__)


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


class Backend:
    """What executes an artefact. A module or folder in backends/ offers one as BACKEND.

    Every backend has the first four methods; what follows them is for those that have something to say or to make.

    name : the name of its file; extra : the pip extra that brings its library
    rank : its place among the backends that may step in for another one; lower is asked first
    concurrent : whether it can run several tiles of a frame at once (Execution.performance = "throughput")
    reference : whether probes are made with it; that one checks an artefact where its own backend cannot run
    hints : the precision hints that it takes
    distributions : the pip distributions whose versions belong in a report of its speed
    from_system : its library comes with the device's system and not from pip, so that an environment must see that
    """

    name: str
    extra: str
    rank: int = 50
    concurrent: bool = False
    reference: bool = False
    hints: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    from_system: bool = False

    def library(self) -> str | None:
        """Name of the importable library behind it, or None when none is installed. Imports nothing."""
        raise NotImplementedError

    def refuses(self, manifest: Manifest) -> str | None:
        """Why it cannot run this artefact here, with what to install; None when it can. Cheap."""
        raise NotImplementedError

    def open(self, artifact: Artifact, execution: Execution) -> Session:
        """Load the payload. InputError for a device or hint that this backend does not have.

        BackendFailed when it cannot run this artefact on this device, though another backend may.
        """
        raise NotImplementedError

    def open_batched(self, artifact: Artifact, batch: int, execution: Execution) -> Session:
        """A session on the CPU whose run() takes (batch, 1, h, w); EdgescopeError for a model built for one tile."""
        msg = f"{self.name} takes one tile at a time (a static batch of 1)"
        raise EdgescopeError(msg)

    def profile(self, artifact: Artifact, execution: Execution) -> Profile | None:
        """What it tells about the work of an artefact on the CPU; None where it tells nothing."""
        return None

    def profile_layer(self, layer: ConvolutionLayer, precision: str, execution: Execution) -> Profile | None:
        """The same of a single layer, built in "int8" or "fp32"."""
        return None

    def layer_times(self, artifact: Artifact, execution: Execution, repeats: int) -> tuple[LayerTime, ...] | None:
        """What each layer of an artefact takes on the CPU; None where the library does not tell."""
        return None

    def notes(self) -> tuple[str, ...]:
        """What everybody who uses it has to know, a sentence each; shown by doctor, info and prewarm."""
        return ()

    def devices(self) -> Mapping[str, str]:
        """The devices that its library finds on this machine: name to full name. May import the library."""
        return {}

    def state(self) -> Mapping[str, str]:
        """What it needs of this machine besides its library, and whether that is there: name to value."""
        return {}

    def unprepared(self, artifact: Artifact, device: str | None) -> str | None:
        """Why opening would first take minutes to make something; None when it is there, or soon made."""
        return None

    def prepare(self, artifact: Artifact, how: Preparation) -> Prepared | None:
        """Make now, or find made, what it keeps on the device for the first run; None where there is nothing."""
        return None


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


class ConcurrentSession(Session, Protocol):
    """A session that `requests` threads may enter at once."""

    @property
    def requests(self) -> int:
        """How many tiles at once are best."""
        ...


BACKENDS: Registry[Backend] = Registry("backends", f"{__package__}.backends", "BACKEND")
names, load = BACKENDS.names, BACKENDS.load  # whether or not they can run here


def requests_of(session: Session) -> int:
    """How many threads may run a session at once."""
    return cast("ConcurrentSession", session).requests if hasattr(session, "requests") else 1


def find(name: str) -> Backend | None:
    """The backend of this name; None where this installation has no such one."""
    return load(name) if name in BACKENDS else None


def by_rank() -> tuple[str, ...]:
    """The names in the order in which they may step in for one another."""
    return tuple(sorted(names(), key=lambda name: (load(name).rank, name)))


def reference() -> str:
    """The name of the backend that probes are made with."""
    return next(name for name in by_rank() if load(name).reference)


def refusal(name: str, manifest: Manifest) -> str | None:
    """Why this backend cannot run the artefact here, or None."""
    if name in BACKENDS:
        return load(name).refuses(manifest)
    return f"this version of runtime has no such backend; it has {', '.join(names())}"


def open_session(artifact: Artifact, execution: Execution = DEFAULT) -> tuple[str, Session]:
    """Choose a backend and open the artefact with it: the backend's name, and the session.

    Where nothing in particular is asked for, and the artefact's own backend fails on this device, the reference steps
    in with a warning, as it does where that backend is not installed.
    """
    chosen = choose(artifact.manifest, execution.backend)
    if execution.performance == "throughput" and not chosen.concurrent:
        msg = f"The {chosen.name} backend runs one tile at a time and has no throughput mode; leave it out."
        raise InputError(msg)
    try:
        return chosen.name, chosen.open(artifact, execution)
    except BackendFailed as error:
        particular, stand_in = execution != Execution(threads=execution.threads), reference()
        if particular or chosen.name == stand_in or refusal(stand_in, artifact.manifest):
            raise
        _warn_of_check(artifact.manifest, str(error))
    return stand_in, load(stand_in).open(artifact, Execution(threads=execution.threads))


def choose(manifest: Manifest, wanted: str | None = None) -> Backend:
    """The backend that is to run an artefact: the wanted one, or else its own, or else the reference as a check.

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
    stand_in = reference()
    reasons[stand_in] = refusal(stand_in, manifest)
    if reasons[stand_in] is None:
        _warn_of_check(manifest, reasons[own])
        return load(stand_in)
    msg = f"Nothing here can run {manifest.student} for {manifest.target}: " + "; ".join(
        f"{name}: {reason}" for name, reason in reasons.items()
    )
    raise InputError(msg + ".")


def refuse_other_than_cpu(name: str, execution: Execution) -> None:
    """For backends of the CPU alone that compute in one precision: InputError for another device, and for a hint."""
    if (execution.device or "CPU").upper() != "CPU":
        msg = f"The {name} backend runs on the CPU only, not on {execution.device}; leave the device out."
        raise InputError(msg)
    if execution.precision_hint is not None:
        msg = f"The {name} backend has no precision hint, but got {execution.precision_hint}; leave it out."
        raise InputError(msg)


def _warn_of_check(manifest: Manifest, reason: str | None) -> None:
    log.warning(
        "%s runs on the CPU with %s: a check of the bundle, not of the device, and not its speed (%s)",
        manifest.student, reference(), reason,
    )  # fmt: skip
