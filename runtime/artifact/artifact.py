"""Artefact: a folder, or the same as a .zip, of manifest.json, payload, probes, description and checksums.

Opening reads every file once, into memory, and hashes the very bytes that are used later: a file that was changed,
is missing or is one too many is refused by name. Writing happens beside the place and ends with a rename. A file
SIGNATURE may stand beside the checksums, see signature.py; it is looked at only by who trusts a key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, enough_memory, listed
from ..system import atomic, memory
from ..system.lock import in_turn
from . import installed, signature
from .containers import check_name, open_container, to_zip
from .manifest import FileEntry, Manifest
from .probes import ProbeSet
from .signature import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .containers import Container

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
TURN_S = 120.0  # to wait for another process that writes the same artefact
TEXT_LIMIT = 16 << 20  # bytes of manifest.json and SHA256SUMS, whose sizes nothing declares


@dataclass(frozen=True)
class Artifact:
    """A verified artefact. Its files are held in memory, so that later changes on the disk cannot reach it."""

    path: Path
    manifest: Manifest
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(len(data) for data in self.files.values())

    def read(self, name: str) -> bytes:
        """The verified bytes of a file; InputError when the artefact has no such file."""
        if name not in self.files:
            msg = f"Artefact {self.path} has no file {name}; it holds {', '.join(sorted(self.files))}."
            raise InputError(msg)
        return self.files[name]

    def payload(self, role: str) -> bytes:
        """The file that plays a role, e.g. "openvino_xml", "tflite" or "onnx"; InputError when none does."""
        if role not in self.manifest.payload:
            roles = ", ".join(sorted(self.manifest.payload))
            msg = f"Artefact {self.path} has no payload {role}; it is for {self.manifest.target} and has {roles}."
            raise InputError(msg)
        return self.read(self.manifest.payload[role])

    def probes(self) -> ProbeSet:
        """The probes; InputError when the file does not hold what the manifest says."""
        probes = ProbeSet.from_bytes(self.read(self.manifest.probes.file))
        due = (self.manifest.probes.count, len(self.manifest.channels), *self.manifest.tile)
        if probes.outputs.shape != due:
            msg = f"Artefact {self.path}: the probes have shape {probes.outputs.shape}, the manifest says {due}."
            raise InputError(msg)
        return probes


def open_artifact(path: Path, trust: Path | None = None) -> Artifact:
    """Open an artefact folder or .zip; InputError names the file that is changed, missing, extra or damaged.

    path : or the name of an artefact that is listed here, see installed.py
    trust : file with the public key that must have signed it, or else the environment's EDGESCOPE_TRUST; with neither,
        signatures are not looked at
    """
    return _open(installed.resolve(Path(path)), signature.trusted(trust))


def _open(path: Path, trust: Path | None) -> Artifact:
    try:
        with enough_memory(f"to open the artefact {path}"), open_container(path) as container:
            manifest, files = _read_verified(container)
        if trust is not None:
            signature.check(files[SUMS], files.get(SIGNATURE), trust)
    except InputError as error:
        msg = f"Artefact {path}: {error}"
        raise InputError(msg) from error
    return Artifact(path, manifest, files)


def write_artifact(
    path: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    zip: bool = False,  # noqa: A002 - says best what it does
    sign: Callable[[bytes], bytes] | None = None,
) -> Artifact:
    """Write an artefact as a whole, or nothing, and return it as it is read back.

    path : its folder; with `zip` the file, to which .zip is appended if need be. Another artefact there is replaced
    manifest : its `files` are filled in here
    files : all but manifest.json, SHA256SUMS and SIGNATURE
    sign : makes the file SIGNATURE from the bytes of SHA256SUMS; see signature.signer
    InputError when something else is at that place, which is never deleted, or when the files do not fit the manifest.
    """
    path = _place(Path(path), zipped=zip)
    contents = _contents(manifest, files)
    if sign is not None:
        contents[SIGNATURE] = sign(contents[SUMS])
    _refuse_foreign(path, zipped=zip)
    with in_turn(path, lambda _: None, TURN_S):  # of two at once the last one is what stays
        atomic.sweep_folder(path.parent)
        with atomic.replacing(path) as partial:
            if zip:
                partial.write_bytes(to_zip(contents))
            else:
                partial.mkdir()
                for name, data in contents.items():
                    (partial / name).write_bytes(data)
            written = _open(partial, None)
        atomic.sweep(path)
    return replace(written, path=path)


def check_place(path: Path) -> None:
    """InputError when `write_artifact` would refuse to write a folder at `path`; said before the work is done."""
    _refuse_foreign(_place(Path(path), zipped=False), zipped=False)


def _read_verified(container: Container) -> tuple[Manifest, dict[str, bytes]]:
    _require_names((SUMS, MANIFEST), container.names)
    sums_text = container.read(SUMS, TEXT_LIMIT)
    sums = _parse_sums(sums_text)
    files = {SUMS: sums_text, MANIFEST: container.read(MANIFEST, TEXT_LIMIT)}
    _check_sum(MANIFEST, files[MANIFEST], sums.get(MANIFEST))
    manifest = Manifest.from_json(files[MANIFEST].decode("utf-8", "replace"))
    _require_names((*manifest.files, MANIFEST, SUMS), container.names)
    _refuse_extra(container.names, manifest.files)
    if set(sums) != {MANIFEST, *manifest.files}:
        raise _changed(SUMS)
    _check_roles(manifest)
    if SIGNATURE in container.names:
        files[SIGNATURE] = container.read(SIGNATURE, signature.LIMIT)
    for name, entry in manifest.files.items():
        if (size := container.size(name)) != entry.bytes:
            msg = f"{name} has {size} bytes, and was written with {entry.bytes}; copy the artefact again."
            raise InputError(msg)
    memory.claim(sum(entry.bytes for entry in manifest.files.values()), "It", "it is no artefact of ours")
    for name, entry in manifest.files.items():
        files[name] = container.read(name, max(entry.bytes, 0))
        _check_sum(name, files[name], entry.sha256)
        _check_sum(name, files[name], sums[name])
    return manifest, files


def _contents(manifest: Manifest, files: Mapping[str, bytes]) -> dict[str, bytes]:
    for name in files:
        check_name(name)
    lowered = [name.lower() for name in (*files, MANIFEST, SUMS, SIGNATURE)]
    if len(set(lowered)) < len(lowered):
        msg = f"The files {sorted(files)} must differ in more than case, and from {MANIFEST}, {SUMS} and {SIGNATURE}."
        raise InputError(msg)
    entries = {name: FileEntry(_sha256(files[name]), len(files[name])) for name in sorted(files)}
    manifest = replace(manifest, files=entries)
    _check_roles(manifest)
    contents = {**files, MANIFEST: manifest.to_json().encode()}
    sums = {name: _sha256(data) for name, data in contents.items()}
    return {**contents, SUMS: _format_sums(sums)}


def _check_roles(manifest: Manifest) -> None:
    named = {f"payload.{role}": name for role, name in manifest.payload.items()}
    for where, name in {**named, "probes.file": manifest.probes.file}.items():
        if name not in manifest.files:
            msg = f"{where} of the manifest is {name}, which is not among its files {listed(manifest.files)}."
            raise InputError(msg)


def _require_names(due: Iterable[str], names: Iterable[str]) -> None:
    present = set(names)
    missing = [name for name in due if name not in present]
    if missing:
        msg = f"{listed(missing)} is missing; copy the whole artefact, or compile it again."
        raise InputError(msg)


def _refuse_extra(names: Iterable[str], declared: Mapping[str, FileEntry]) -> None:
    extra = sorted(set(names) - {MANIFEST, SUMS, SIGNATURE, *declared})
    if extra:
        msg = f"{listed(extra)} does not belong there; move it elsewhere."
        raise InputError(msg)


def _check_sum(name: str, data: bytes, due: str | None) -> None:
    if _sha256(data) != due:
        raise _changed(name)


def _changed(name: str) -> InputError:
    return InputError(f"{name} was changed after it was written; copy the artefact again, or compile it again.")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _format_sums(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()  # as sha256sum writes it


def _parse_sums(text: bytes) -> dict[str, str]:
    lines = [line.split("  ", 1) for line in text.decode("utf-8", "replace").splitlines()]
    sums = {parts[1]: parts[0] for parts in lines if len(parts) == 2}
    if _format_sums(sums) != text:
        raise _changed(SUMS)
    return sums


def _place(path: Path, *, zipped: bool) -> Path:
    if path.is_symlink():
        path = path.resolve()
    return path.with_name(path.name + ".zip") if zipped and path.suffix != ".zip" else path


def _refuse_foreign(path: Path, *, zipped: bool) -> None:
    """Pass when nothing is there, or an empty folder, or an artefact, damaged or not, without anything else in it."""
    if not path.exists() or (not zipped and path.is_dir() and not any(path.iterdir())):
        return
    reason = "it is a folder" if path.is_dir() else "it is a file"
    if path.is_dir() != zipped:
        try:
            with open_container(path) as container:
                known = _parse_sums(container.read(SUMS, TEXT_LIMIT)) if SUMS in container.names else {}
                foreign = sorted(set(container.names) - {SUMS, SIGNATURE, *known})
            if MANIFEST in known and not foreign:
                return
            reason = f"it holds {listed(foreign)}" if foreign else "it is no artefact"
        except InputError as error:
            reason = str(error)
    msg = f"{path} is in the way and is not overwritten: {reason}; move it, or write elsewhere."
    raise InputError(msg)
