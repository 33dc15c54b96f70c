"""A folder or a zip, read through one small door: list the member files, read one.

A zip is never unpacked to disk. One with names that would leave its folder is refused whole: nobody who packs
images writes such names. Handles are opened again in every process, because a forked loader that shares its
parent's handle shares the position in the file as well.
"""

import os
import zipfile
from pathlib import Path, PurePosixPath

from runtime.errors import EdgescopeError, InputError
from runtime.images.files import FOLDERS, open_bytes, open_image
from runtime.images.scene import ImageFile
from runtime.system.places import is_litter

LARGEST_MEMBER = 1 << 30  # an image file of more than 1 GiB is a mistake or an attack
IGNORED = ("__MACOSX",)


class Members:
    """The files below a folder or inside a zip, by their relative name with forward slashes."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            msg = f"Data path {str(path)!r} does not exist; give an existing folder or .zip."
            raise InputError(msg)
        self.path = path
        self._zip: tuple[int, zipfile.ZipFile] | None = None
        self.is_zip = path.is_file()
        self.names = self._zip_names() if self.is_zip else self._folder_names()

    def read(self, name: str) -> bytes:
        """The bytes of one member; InputError where they cannot be read whole."""
        try:
            return self._read_zip(name) if self.is_zip else self._read_file(name)
        except EdgescopeError:
            raise
        except Exception as error:  # a zip that is damaged throws errors of many kinds
            msg = f"Cannot read {name!r} in {str(self.path)!r} ({error}); copy or download the data again."
            raise InputError(msg) from error

    def open_image(self, name: str) -> ImageFile:
        """A member as an image file; of a folder it is read where it is, and an OME-Zarr may be one."""
        return open_bytes(self.read(name), repr(name)) if self.is_zip else open_image(self.path / name, repr(name))

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_zip": None}

    def _read_file(self, name: str) -> bytes:
        file = self.path / name
        self._check_size(name, file.stat().st_size)
        return file.read_bytes()

    def _read_zip(self, name: str) -> bytes:
        archive = self._archive()
        self._check_size(name, archive.getinfo(name).file_size)
        return archive.read(name)

    def _check_size(self, name: str, size: int) -> None:
        if size > LARGEST_MEMBER:
            msg = f"{name!r} in {str(self.path)!r} has {size} bytes, over {LARGEST_MEMBER}; split the image."
            raise InputError(msg)

    def _archive(self) -> zipfile.ZipFile:
        if self._zip is None or self._zip[0] != os.getpid():
            self._zip = (os.getpid(), zipfile.ZipFile(self.path))
        return self._zip[1]

    def _zip_names(self) -> tuple[str, ...]:
        try:
            infos = self._archive().infolist()
        except Exception as error:
            msg = f"{str(self.path)!r} is not a whole .zip ({error}); download it again, or give a folder."
            raise InputError(msg) from error
        for info in infos:
            self._check_inside(info.orig_filename)
        return tuple(sorted({info.filename for info in infos if not _ignored(info.filename)}))

    def _check_inside(self, name: str) -> None:
        odd = name.startswith("/") or "\\" in name or name[1:2] == ":"
        if odd or ".." in PurePosixPath(name).parts:
            msg = f"{str(self.path)!r} holds {name!r}, a name that leads out of it; do not trust this file."
            raise InputError(msg)

    def _folder_names(self) -> tuple[str, ...]:
        found = []
        for folder, subfolders, files in os.walk(self.path):
            relative = Path(folder).relative_to(self.path)
            inside = [subfolder for subfolder in subfolders if not subfolder.lower().endswith(FOLDERS)]
            found += [(relative / file).as_posix() for file in files]
            found += [(relative / subfolder).as_posix() + "/" for subfolder in subfolders]
            subfolders[:] = inside
        return tuple(sorted(name for name in found if not _ignored(name)))


def _ignored(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part in IGNORED or part.startswith(".") or is_litter(part) for part in parts)
