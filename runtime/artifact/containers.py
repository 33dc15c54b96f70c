"""A folder or a zip of files as names and bytes. What could lead out of it, or hide in it, is refused."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import InputError
from ..system.places import is_litter
from . import installed

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # no separators, drives, `..`, blanks or hidden names


class Container(Protocol):
    """Files that lie side by side."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def size(self, name: str) -> int:
        """Bytes of one file, without reading it; 0 for one that is not there."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of one file; InputError when they are damaged or more than `limit`."""
        ...


@contextmanager
def open_container(path: Path) -> Generator[Container]:
    """Open a folder or a zip; InputError when it is neither, or holds more than plain files side by side."""
    if path.is_dir():
        yield FolderContainer(path, _folder_names(path))
    elif not path.exists():
        msg = f"it does not exist. {installed.remedy()}"
        raise InputError(msg)
    elif not path.is_file():
        msg = "it is a pipe, a device or a socket; give a folder or a .zip."
        raise InputError(msg)
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                yield ZipContainer(archive, _zip_names(archive))
        except (zipfile.BadZipFile, NotImplementedError, ValueError, LookupError, struct.error) as error:
            if isinstance(error, InputError):
                raise
            msg = f"it is no readable zip, perhaps it was cut short ({error}); copy it again."
            raise InputError(msg) from error


@dataclass(frozen=True)
class FolderContainer:
    """Plain files in a folder."""

    path: Path
    names: tuple[str, ...]

    def size(self, name: str) -> int:
        """See Container."""
        return (self.path / name).stat().st_size

    def read(self, name: str, limit: int) -> bytes:
        """See Container."""
        with (self.path / name).open("rb") as file:  # read() takes memory for all it is asked for
            return _limited(name, file.read(min(self.size(name), limit) + 1), limit)


@dataclass(frozen=True)
class ZipContainer:
    """Plain files in a zip, at its top level or all in one folder; `members` maps a file's name to its entry."""

    archive: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]

    @property
    def names(self) -> tuple[str, ...]:
        """See Container."""
        return tuple(self.members)

    def size(self, name: str) -> int:
        """See Container."""
        return self.members[name].file_size

    def read(self, name: str, limit: int) -> bytes:
        """See Container."""
        try:
            with self.archive.open(self.members[name]) as file:
                return _limited(name, file.read(limit + 1), limit)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            OSError,
        ) as error:
            msg = f"{name} is damaged inside the zip ({error}); copy the file again."
            raise InputError(msg) from error


def to_zip(files: Mapping[str, bytes]) -> bytes:
    """The files as the bytes of a zip; equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)  # dated 1980
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def check_name(name: str) -> None:
    """Refuse a file name that could lead out of a folder, or that not every system can store."""
    if not NAME.fullmatch(name):
        msg = f"{name!r} is no plain file name (letters, digits, '.', '_', '-'); it could lead out of the folder."
        raise InputError(msg)


def _folder_names(path: Path) -> tuple[str, ...]:
    entries = [entry for entry in path.iterdir() if entry.is_symlink() or not is_litter(entry.name)]
    for entry in entries:
        if entry.is_symlink() or not entry.is_file():
            kind = "a link" if entry.is_symlink() else "no plain file"
            msg = f"{entry.name} is {kind}, and does not belong there; remove it."
            raise InputError(msg)
    return tuple(sorted(entry.name for entry in entries))


def _zip_names(archive: zipfile.ZipFile) -> Mapping[str, zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not _is_litter_of_a_zip(info.orig_filename)]
    names = [info.orig_filename for info in infos]  # as stored; .filename is already tidied
    tops = {name.partition("/")[0] for name in names}
    top = f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""
    members: dict[str, zipfile.ZipInfo] = {}
    for name, info in zip(names, infos, strict=True):
        if top and name == top:
            continue
        inside = name[len(top) :]
        check_name(inside)
        if stat.S_ISLNK(info.external_attr >> 16):
            msg = f"{inside} is a link, and does not belong there; remove it."
            raise InputError(msg)
        if inside in members:
            msg = f"{inside} stands twice in the zip; make the zip again."
            raise InputError(msg)
        members[inside] = info
    if top:
        check_name(top[:-1])
    return members


def _is_litter_of_a_zip(name: str) -> bool:
    """What macOS adds to a zip, too: such entries are never read."""
    return name.startswith("__MACOSX/") or is_litter(name)


def _limited(name: str, data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        msg = f"{name} is larger than the {limit} bytes it should have; copy the artefact again."
        raise InputError(msg)
    return data
