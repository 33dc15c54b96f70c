"""The engines that this device has built, each with a sidecar that says from what, with what and why.

An engine holds code, so only this device's own are loaded: the folder and the files are the user's and nobody else's,
the sidecar holds the engine's sha256 and all that it depends on, and the bytes that are hashed are the bytes that are
loaded. Whatever does not fit is built again, with the reason; nothing is ever loaded from a bundle.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import InputError
from ...records import Record
from ...system import atomic
from ...system.cache_folder import is_ours, open_private
from .choice import EngineCandidate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = 1
SIDECAR_LIMIT = 1 << 20  # bytes
WORDS = {  # field of a key: what it is called when it differs
    "schema": "the form of the cache",
    "onnx": "the bundle's networks",
    "judged_by": "the bundle's probes or tolerance",
    "tensorrt": "TensorRT",
    "driver": "the driver's CUDA",
    "runtime": "CUDA's runtime",
    "l4t": "Jetson Linux",
    "sm": "the GPU's compute capability",
    "device": "the GPU",
    "machine": "the machine",
    "options": "the options",
}


@dataclass(frozen=True)
class Key(Record):
    """All that an engine depends on. onnx : role to sha256 of the networks that were candidates."""

    schema: int
    onnx: Mapping[str, str]
    judged_by: str
    tensorrt: str
    driver: str
    runtime: str
    l4t: str | None
    sm: str
    device: str
    machine: str
    options: Mapping[str, str]

    @property
    def digest(self) -> str:
        """What the files are called."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:32]

    def differences(self, other: Key) -> str:
        """In what another key is not this one, in words: "TensorRT was 10.3.0 and is 10.16.1"."""
        mine, theirs = self.to_dict(), other.to_dict()
        told = [name for name in WORDS if mine[name] != theirs[name]]
        short = ("tensorrt", "driver", "runtime", "l4t", "sm", "device")
        return ", ".join(
            f"{WORDS[name]} was {theirs[name]} and is {mine[name]}" if name in short else f"{WORDS[name]} changed"
            for name in told
        )


@dataclass(frozen=True)
class Sidecar(Record):
    """What is known of an engine. kept : its precision, or None where none could be built; why : in a sentence.

    sha256, bytes : of the engine; built : UTC; candidates : all that were tried
    """

    key: Key
    kept: str | None
    why: str
    built: str
    build_s: float
    candidates: tuple[EngineCandidate, ...]
    sha256: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class CachedEngine:
    """An engine of the cache: the verified bytes, and its sidecar."""

    plan: bytes
    sidecar: Sidecar


class Cache:
    """A private folder of engines."""

    def __init__(self, folder: Path) -> None:
        """Make it; InputError when it cannot be written, or is not this user's own."""
        self.folder = open_private(folder)

    def engine(self, key: Key) -> Path:
        """Where the engine of this key lies, or would lie."""
        return self.folder / f"{key.digest}.engine"

    def find(self, key: Key) -> CachedEngine | Sidecar | str:
        """The engine; or the sidecar of a build that failed; or why there is no engine that may be loaded."""
        path = self.engine(key)
        if not path.with_suffix(".json").exists():
            return self._why_new(key)
        try:
            sidecar = _sidecar(path.with_suffix(".json"))
            if sidecar.key != key:
                return f"the engine there was built for something else: {key.differences(sidecar.key)}"
            if sidecar.kept is None:
                return sidecar
            plan = _read_private(path, sidecar.bytes)
        except FileNotFoundError:
            return "its engine is gone"
        except (InputError, OSError) as error:
            return f"it cannot be trusted: {error}"
        if len(plan) != sidecar.bytes:
            return f"its engine was truncated or changed: {len(plan)} bytes, due {sidecar.bytes}"
        if hashlib.sha256(plan).hexdigest() != sidecar.sha256:
            return "its engine was changed after it was built: its sha256 is another one"
        return CachedEngine(plan, sidecar)

    def store(self, sidecar: Sidecar, plan: bytes | None) -> None:
        """Keep an engine, or that none could be built (None); older ones of this machine and bundle are removed.

        The engine comes first: a run that is killed in between leaves one that its sidecar does not know.
        """
        path = self.engine(sidecar.key)
        if plan is not None:
            _write_private(path, plan)
        _write_private(path.with_suffix(".json"), sidecar.to_json().encode())
        for other, found in self._sidecars():
            if _same_work(found.key, sidecar.key) and other != path.with_suffix(".json"):
                other.with_suffix(".engine").unlink(missing_ok=True)
                other.unlink(missing_ok=True)

    def expected_s(self, key: Key) -> float | None:
        """Seconds that an engine took on this device the last time, of whatever bundle; None when none was built."""
        here = [found for _, found in self._sidecars() if (found.key.machine, found.key.sm) == (key.machine, key.sm)]
        done = [(found.built, one.spent_s) for found in here for one in found.candidates if one.spent_s is not None]
        return max(done)[1] if done else None

    def _why_new(self, key: Key) -> str:
        related = [found.key for _, found in self._sidecars() if found.key.onnx == key.onnx]
        if not related:
            return "there is none for this bundle yet"
        mine = [other for other in related if other.machine == key.machine] or related
        return f"the engine in the cache is not for this: {key.differences(mine[0])}"

    def _sidecars(self) -> Iterator[tuple[Path, Sidecar]]:
        for path in sorted(self.folder.glob("*.json")):
            try:
                yield path, _sidecar(path)
            except (InputError, OSError):  # damaged: found and told when its engine is asked for
                continue


def _same_work(one: Key, other: Key) -> bool:
    return (one.onnx, one.options, one.machine, one.device) == (other.onnx, other.options, other.machine, other.device)


def _sidecar(path: Path) -> Sidecar:
    data = _read_private(path, SIDECAR_LIMIT)
    return Sidecar.from_json(data.decode("utf-8", "replace"))


def _read_private(path: Path, limit: int) -> bytes:
    """Up to limit + 1 bytes of a file that is the user's own and that nobody else can write; InputError otherwise."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or not is_ours(found):
            msg = f"{path.name} is no file of this user's"
            raise InputError(msg)
        if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o022:
            msg = f"{path.name} can be written by others"
            raise InputError(msg)
        return file.read(limit + 1)


def _write_private(path: Path, data: bytes) -> None:
    with atomic.replacing(path) as partial:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
