"""--trust: the key that must have signed an artefact, and what is said of the one that did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..signature import SIGNATURE, VARIABLE, Signature, trusted

if TYPE_CHECKING:
    import argparse

    from ..artifact import Artifact


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--trust",
        type=Path,
        metavar="PUBKEY",
        help=f"refuse an artefact that this key has not signed (default: ${VARIABLE}, or none is asked for)",
    )


def signed_by(artifact: Artifact, trust: Path | None) -> str:
    """In words: by which key, and whether that was verified when the artefact was opened."""
    if SIGNATURE not in artifact.files:
        return "none"
    try:
        key = Signature.read(artifact.files[SIGNATURE]).key_name
    except InputError as error:
        return str(error)
    key_file = trusted(trust)
    return f"by {key}, not verified: give --trust PUBKEY" if key_file is None else f"by {key}, verified with {key_file}"
