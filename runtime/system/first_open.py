"""The first open of a model file that this device has not seen, in a process of its own.

Native parsers of model files end their process where a file is damaged in a way that no checksum shows. A host must not
end with them, so the file is opened and run once in a child, and that it went well is noted in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from ..errors import EdgescopeError
from . import atomic, cache_folder, extras
from .child import command, name_signal, origin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

PATIENCE_S = 120.0
CLEAN = 17  # exit code of a child in which the library refused the file by an exception, as it would here
log = logging.getLogger(__name__)


def check(payload: bytes, library: str, extra: str) -> None:
    """EdgescopeError where opening and running the file ends a process, or takes longer than two minutes.

    library : the package with `interpreter.Interpreter`; a file is tried anew when its version changes
    """
    key = hashlib.sha256(f"{library} {extras.version(library)} ".encode() + payload).hexdigest()
    note = _note(key)
    if note is not None and note.is_file():
        return
    setup = json.dumps(
        {**origin(".system.first_open"), "library": library, "extra": extra, "bytes": len(payload)}
    ).encode()
    try:
        ended = subprocess.run(
            command("edgescope: first open"), input=setup + b"\n" + payload, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"{library} took longer than {PATIENCE_S:.0f} s with the model file, which is damaged; copy it again."
        raise EdgescopeError(msg) from error
    except OSError as error:  # a host that may start no processes
        log.warning("the model file was not tested in a child process: %s", error)
        return
    if ended.returncode not in (0, CLEAN):
        how = name_signal(ended.returncode) if ended.returncode < 0 else f"exit code {ended.returncode}"
        msg = f"The model file ends the process of {library} ({how}); it is damaged: copy the artefact again."
        raise EdgescopeError(msg)
    if note is not None and ended.returncode == 0:
        try:
            atomic.write_bytes(note, b"")
        except (OSError, EdgescopeError) as error:
            log.info("the test of the model file was not recorded: %s", error)


def main(setup: Mapping[str, Any]) -> None:
    """In the child: open the file that follows on standard input, and run it once on zeros."""
    payload = sys.stdin.buffer.read(setup["bytes"])
    try:
        module = extras.load(f"{setup['library']}.interpreter", extra=setup["extra"])
        interpreter: Any = module.Interpreter(model_content=payload, num_threads=1)
        interpreter.allocate_tensors()
        interpreter.invoke()
    except Exception:  # said by the host, which meets it, too
        os._exit(CLEAN)
    os._exit(0)


def _note(key: str) -> Path | None:
    """The file whose presence says that this file was opened before; None where nothing can be kept."""
    try:
        return cache_folder.open_private(cache_folder.locate("opened")) / key
    except (OSError, EdgescopeError):
        return None
