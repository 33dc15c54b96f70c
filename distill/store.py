"""Arrays on disk by key: a zarr v3 group that several processes fill at once and a kill cannot harm.

Each array is written beside its place, synced, and renamed into it; the first one there stays. A reader sees a whole
array or none, and its sha256 says whether it is still what was written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore

from runtime.errors import EdgescopeError, InputError
from runtime.system import memory
from runtime.system.atomic import FULL, adding, hidden, remove, sweep_folder, write_bytes
from runtime.system.places import check_writable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

GROUP = "zarr.json"
CHUNK = 512  # pixels a side
ABANDONED = 3600  # seconds after which what a killed process of another computer left is swept away


class Damaged(EdgescopeError):
    """An array in the store is not what was written there."""


@dataclass
class Store:
    """The arrays below one folder. Keys are file names: letters and digits."""

    path: Path
    _begun: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.path = self.path.expanduser()
        if self.path.is_file() or (self.path.is_dir() and not (self.path / GROUP).exists() and _holds(self.path)):
            msg = f"{self.path} is no store of soft labels; name a folder that does not exist yet as teacher.store."
            raise InputError(msg)

    def read(self, key: str, name: str) -> NDArray[Any] | None:
        """The array of a key, or None where there is none yet. Damaged when its checksum does not hold.

        name : of the field, for the error
        """
        place = self.path / key
        if not place.is_dir():
            return None
        try:
            array = zarr.open_array(LocalStore(place, read_only=True), mode="r")
            memory.claim(array.nbytes, f"The soft label of {name}, {array.shape},", f"remove {place} if it is damaged")
            values, promised = np.asarray(array[...]), array.attrs["sha256"]
        except Exception as error:  # of many kinds: zarr believes what the metadata say
            disk = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
            if disk or isinstance(error, EdgescopeError):
                raise
            raise self._damaged(key, name, f"{type(error).__name__}: {error}") from error
        if _digest(values) != promised:
            raise self._damaged(key, name, "its checksum does not hold")
        return values

    def check_writable(self) -> None:
        """InputError when nothing can be written there; writes nothing."""
        check_writable(self.path, "set teacher.store")

    def has(self, key: str) -> bool:
        """Whether there is an array under this key; its checksum is not looked at."""
        return (self.path / key).is_dir()

    def write(self, key: str, values: NDArray[Any], about: Mapping[str, Any]) -> int:
        """Keep an array under a key that has none; where one came first, that one stays. Returns bytes on disk.

        about : what else the array's metadata shall say, JSON values. EdgescopeError when the disk is full.
        """
        try:
            return self._write(key, values, {**about, "sha256": _digest(values)})
        except OSError as error:
            if error.errno not in FULL:
                raise
            msg = (
                f"{error.strerror} at {self.path}: {about.get('name', key)} was not stored, everything before it was; "
                "free some space, or move the folder and set teacher.store, and run the same command again."
            )
            raise EdgescopeError(msg) from error

    def discard(self, key: str) -> None:
        """Take a damaged array away."""
        aside = hidden(self.path / key)
        try:
            (self.path / key).rename(aside)
        except FileNotFoundError:
            return  # another process was faster
        remove(aside)

    def _write(self, key: str, values: NDArray[Any], about: Mapping[str, Any]) -> int:
        self._begin()
        with adding(self.path / key) as partial:
            _fill(partial, values, about)
            return sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())

    def _begin(self) -> None:
        """Make the group, where there is none; sweep what killed processes left. Once for each Store."""
        if self._begun:
            return
        if not (self.path / GROUP).exists():
            group = {"zarr_format": 3, "node_type": "group", "attributes": {"holds": "soft labels of edgescope"}}
            write_bytes(self.path / GROUP, json.dumps(group, indent=2).encode())
        sweep_folder(self.path, ABANDONED)
        self._begun = True

    def _damaged(self, key: str, name: str, reason: str) -> Damaged:
        msg = (
            f"The soft label of {name} is damaged ({reason}) in {self.path / key}; "
            "run python -m distill label with the same configuration to compute it again, and check the disk."
        )
        return Damaged(msg)


def _fill(folder: Path, values: NDArray[Any], about: Mapping[str, Any]) -> None:
    chunks = tuple(min(CHUNK, side) for side in values.shape)
    array = zarr.create_array(
        LocalStore(folder),
        shape=values.shape,
        chunks=chunks,
        dtype=values.dtype,
        compressors=ZstdCodec(level=3),
        attributes=dict(about),
    )
    array[...] = values


def _digest(values: NDArray[Any]) -> str:
    head = f"{values.dtype.str} {values.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(values).tobytes()).hexdigest()


def _holds(folder: Path) -> bool:
    return any(not entry.name.startswith(".") for entry in folder.iterdir())
