"""Models that a library compiled on this machine, kept so that the next process need not compile them again.

A compiled model holds code, in effect. So the folder and its files are this user's alone, a file is named after
everything that it depends on, and it is loaded only when its checksum fits. Whatever is wrong with the cache, a model
is compiled as if there were none: it saves a second, and is never a reason to fail.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import InputError
from ...system import atomic
from ...system.cache_folder import VARIABLE, is_ours, locate, open_private

if TYPE_CHECKING:
    from pathlib import Path

OFF = ("off", "0", "no", "none")
KEPT = 32  # models; the oldest go
SUFFIX = ".blob"
DIGEST = 32  # bytes of sha256, before the model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompiledModels:
    """The compiled models of one library. kind : name of the folder, e.g. "openvino"."""

    kind: str

    def find(self, *depends_on: bytes | str) -> bytes | None:
        """The model that was compiled from all this, or None."""
        folder = self._folder()
        if folder is None:
            return None
        path = _place(folder, depends_on)
        try:
            if not is_ours(path.lstat()):
                return None
            data = path.read_bytes()
        except OSError:
            return None
        digest, model = data[:DIGEST], data[DIGEST:]
        if hashlib.sha256(model).digest() != digest:
            log.info("%s is damaged; the model is compiled again", path)
            return None
        return model

    def keep(self, model: bytes, *depends_on: bytes | str) -> None:
        """Store a model for the next process."""
        folder = self._folder()
        if folder is None:
            return
        try:
            with atomic.replacing(_place(folder, depends_on)) as partial:
                with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600), "wb") as file:
                    file.write(hashlib.sha256(model).digest() + model)
            _drop_oldest(folder)
        except (InputError, OSError) as error:
            log.info("the compiled model was not cached: %s", error)

    def _folder(self) -> Path | None:
        if os.environ.get(VARIABLE, "").lower() in OFF:
            return None
        try:
            return open_private(locate(self.kind))
        except (InputError, OSError, RuntimeError) as error:  # RuntimeError: there is no home
            log.info("compiled models are not cached: %s", error)
            return None


BINARY = getattr(os, "O_BINARY", 0)  # Windows


def _place(folder: Path, depends_on: tuple[bytes | str, ...]) -> Path:
    digest = hashlib.sha256()
    for part in depends_on:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return folder / f"{digest.hexdigest()[:32]}{SUFFIX}"


def _drop_oldest(folder: Path) -> None:
    found = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
    for path in found[:-KEPT]:
        path.unlink(missing_ok=True)
