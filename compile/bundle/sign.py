"""--sign KEY: who compiled an artefact vouches for it."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING

from runtime.artifact.signature import signer
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSPHRASE = "EDGESCOPE_SIGN_PASSPHRASE"


def load_signer(key_file: Path | None) -> Callable[[bytes], bytes] | None:
    """What signs, read before minutes of work; None without a key. InputError when the key is none, or is locked."""
    return None if key_file is None else signer(key_file, lambda: _passphrase(key_file))


def _passphrase(key_file: Path) -> bytes:
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE].encode()
    if not sys.stdin.isatty():
        msg = f"{key_file} is encrypted; give its passphrase in the environment variable {PASSPHRASE}."
        raise InputError(msg)
    return getpass.getpass(f"Passphrase of {key_file}: ").encode()
