"""The signature of an artefact: an Ed25519 signature of its SHA256SUMS, in the file SIGNATURE.

The sums say that nothing was changed; they do not say by whom they were written. A signature is looked at only by
those who name the key that they trust, with --trust or the environment variable EDGESCOPE_TRUST. The library
cryptography does the mathematics, and is imported when it is needed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..records import Record
from ..system import extras

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURE = "SIGNATURE"
VARIABLE = "EDGESCOPE_TRUST"
ALGORITHM = "ed25519"
LIMIT = 1 << 16  # bytes of a key file, and of SIGNATURE
EXTRA = "sign"


@dataclass(frozen=True)
class Signature(Record):
    """The file SIGNATURE. public_key, signature : 32 and 64 bytes in base64; which key it was is only a hint."""

    schema_version: int
    algorithm: str
    public_key: str
    signature: str

    def __post_init__(self) -> None:
        lengths = [_length(text) for text in (self.public_key, self.signature)]
        if (self.schema_version, self.algorithm, lengths) != (1, ALGORITHM, [32, 64]):
            msg = f"{SIGNATURE} is none that this edgescope knows: {ALGORITHM}, version 1, is due."
            raise InputError(msg)

    @property
    def key_name(self) -> str:
        """The key that it says it was made with, short enough to compare by eye."""
        return fingerprint(base64.b64decode(self.public_key))

    @classmethod
    def read(cls, data: bytes) -> Signature:
        """Parse the file; InputError when it is damaged."""
        try:
            return cls.from_json(data.decode("utf-8", "replace"))
        except InputError as error:
            msg = f"{SIGNATURE} cannot be read: {error}"
            raise InputError(msg) from error


def fingerprint(public_key: bytes) -> str:
    """A name for a key: the start of the sha256 of its 32 bytes."""
    return f"{ALGORITHM}:{hashlib.sha256(public_key).hexdigest()[:16]}"


def trusted(given: Path | None) -> Path | None:
    """The file with the key that artefacts must be signed with: the one given, or that of the environment, or none."""
    if given is None and os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    return given


def check(sums: bytes, signature: bytes | None, key_file: Path) -> None:
    """Pass when `signature`, the file SIGNATURE, was made for these SHA256SUMS with the key in `key_file`.

    InputError when there is none, when it was made with another key or for other sums, and when the file holds no key.
    """
    key = _public_key(key_file)
    mine = fingerprint(key.public_bytes_raw())
    if signature is None:
        msg = f"it is not signed, and {mine} of {key_file} must have signed it; get a signed one, or trust no key."
        raise InputError(msg)
    found = Signature.read(signature)
    from cryptography.exceptions import InvalidSignature  # it is there: the key was read with it

    try:
        key.verify(base64.b64decode(found.signature), sums)
    except InvalidSignature as error:
        msg = (
            f"it was changed after {mine} signed it; copy it again, or have it signed again."
            if found.key_name == mine
            else f"it was signed by {found.key_name}, not by {mine} of {key_file}; do not use it, or trust that key."
        )
        raise InputError(msg) from error


def signer(key_file: Path, passphrase: Callable[[], bytes]) -> Callable[[bytes], bytes]:
    """What makes the file SIGNATURE from the bytes of SHA256SUMS, with the private Ed25519 key in `key_file`.

    key_file : PEM, PKCS8 or OpenSSH's own; passphrase : asked for when the key is encrypted
    InputError when the file holds no such key, or the passphrase is wrong.
    """
    key = _private_key(key_file, passphrase)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()

    def sign(sums: bytes) -> bytes:
        made = Signature(1, ALGORITHM, public, base64.b64encode(key.sign(sums)).decode())
        return made.to_json().encode()

    return sign


def _public_key(path: Path) -> Any:
    data = _read(path)
    serialization = _library()
    if b"PRIVATE KEY-----" in data:
        msg = f"{path} holds a private key; trust the public one: openssl pkey -in {path} -pubout -out trust.pem"
        raise InputError(msg)
    reader = serialization.load_ssh_public_key if data.startswith(b"ssh-") else serialization.load_pem_public_key
    return _ed25519(_parsed(path, reader, data), path, "public")


def _private_key(path: Path, passphrase: Callable[[], bytes]) -> Any:
    data = _read(path)
    serialization = _library()
    if b"PRIVATE KEY-----" not in data and (b"PUBLIC KEY-----" in data or data.startswith(b"ssh-")):
        msg = f"{path} holds a public key; sign with the private one, and give this one to --trust."
        raise InputError(msg)
    openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    reader = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        key = _parsed(path, lambda text: reader(text, None), data)
    except TypeError:  # what the library raises for an encrypted key without a passphrase
        secret = passphrase()
        key = _parsed(path, lambda text: reader(text, secret), data, " with this passphrase")
    return _ed25519(key, path, "private")


def _parsed(path: Path, reader: Callable[[bytes], Any], data: bytes, with_what: str = "") -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return reader(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        msg = (
            f"{path} cannot be read as a key{with_what}; make one with: openssl genpkey -algorithm ed25519 -out key.pem"
        )
        raise InputError(msg) from error


def _ed25519(key: Any, path: Path, kind: str) -> Any:
    if not hasattr(key, "public_bytes_raw" if kind == "public" else "sign") or "Ed25519" not in type(key).__name__:
        msg = f"{path} holds a key that is not Ed25519; make one with: openssl genpkey -algorithm ed25519 -out key.pem"
        raise InputError(msg)
    return key


def _library() -> Any:
    extras.load("cryptography", extra=EXTRA)
    from cryptography.hazmat.primitives import serialization

    return serialization


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        msg = f"The key {path} cannot be read: {error.strerror or error}; give the file with the key."
        raise InputError(msg) from error
    if len(data) > LIMIT:
        msg = f"{path} is over {LIMIT} bytes long, and no key; give the file with the key."
        raise InputError(msg)
    return data


def _length(text: str) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return -1
