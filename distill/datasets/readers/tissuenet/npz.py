"""Arrays inside an .npz that is larger than memory, and object arrays that nobody has to trust.

`numpy.load` reads a member whole, and reads object arrays by running whatever pickle says. Here a stored
member is memory-mapped where it lies in the zip, a large compressed one is unpacked once to an anonymous
temporary file (in TMPDIR) and mapped there, and pickles may build arrays, strings and numbers, no more.
"""

import io
import math
import os
import pickle
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError

IN_MEMORY = 256 << 20  # compressed members up to this size are simply read
LARGEST_PICKLE = 256 << 20
BROKEN = (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)
LOCAL_HEADER = 30  # bytes before the name in a zip's local file header


class Npz:
    """One .npz file; arrays are opened when asked for and kept open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        except BROKEN as error:
            raise self._broken(None, error) from error
        self._open: dict[str, NDArray[Any]] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self._members)

    def shape(self, key: str) -> tuple[int, ...]:
        """Of one array, from its header alone."""
        with zipfile.ZipFile(self.path) as archive:
            return self._header(archive, key)[0]

    def array(self, key: str) -> NDArray[Any]:
        """An array that needs no pickle, read-only; InputError where it would need one."""
        if key not in self._open:
            try:
                self._open[key] = self._map(key)
            except BROKEN as error:
                if isinstance(error, InputError):
                    raise
                raise self._broken(key, error) from error
        return self._open[key]

    def objects(self, key: str) -> NDArray[Any]:
        """An array of objects, through an unpickler that knows arrays, strings and numbers only."""
        info = self._members[key]
        if info.file_size > LARGEST_PICKLE:
            msg = f"{key!r} in {str(self.path)!r} is {info.file_size} bytes of pickle; do not trust this file."
            raise InputError(msg)
        try:
            with zipfile.ZipFile(self.path) as archive:
                stream = io.BytesIO(archive.read(info))
            shape, _, dtype = _read_header(stream)
            loaded = TableUnpickler(stream).load() if dtype.hasobject else np.frombuffer(stream.read(), dtype)
            return np.asarray(loaded).reshape(shape)
        except pickle.UnpicklingError as error:
            msg = f"{key!r} in {str(self.path)!r} is refused: {error}; do not trust this file."
            raise InputError(msg) from error
        except (*BROKEN, TypeError, AttributeError, IndexError, KeyError, MemoryError) as error:
            raise self._broken(key, error) from error

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": {}}

    def _map(self, key: str) -> NDArray[Any]:
        info = self._members[key]
        with zipfile.ZipFile(self.path) as archive:
            shape, fortran, dtype, start = self._header(archive, key)
            size = math.prod(shape) * dtype.itemsize
            if start + size > info.file_size:
                msg = f"the array ends after {info.file_size - start} of {size} bytes"
                raise EOFError(msg)
            order = "F" if fortran else "C"
            if info.compress_type == zipfile.ZIP_STORED and size:
                offset = self._payload(info) + start
                if offset + size > self.path.stat().st_size:
                    msg = "the file ends inside the array"
                    raise EOFError(msg)
                return np.memmap(self.path, dtype, "r", offset, shape, order)
            if info.file_size <= IN_MEMORY:
                flat = np.frombuffer(archive.read(info), dtype, math.prod(shape), start)
                return flat.reshape(shape, order=order)
            with _unpacked(archive, info) as file:  # the map has a handle of its own
                return np.memmap(file, dtype, "r", start, shape, order)

    def _header(self, archive: zipfile.ZipFile, key: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
        with archive.open(self._members[key]) as stream:
            shape, fortran, dtype = _read_header(stream)
            start = stream.tell()
        if dtype.hasobject:
            msg = f"{key!r} in {str(self.path)!r} holds objects, not numbers; do not trust this file."
            raise InputError(msg)
        return shape, fortran, dtype, start

    def _payload(self, info: zipfile.ZipInfo) -> int:
        """Where the bytes of a stored member begin; its local header has lengths of its own."""
        with self.path.open("rb") as file:
            file.seek(info.header_offset)
            header = file.read(LOCAL_HEADER)
        name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        return info.header_offset + LOCAL_HEADER + name + extra

    def _broken(self, key: str | None, error: Exception) -> InputError:
        what = f"{str(self.path)!r}" if key is None else f"{key!r} of {str(self.path)!r}"
        reason = f"{type(error).__name__}: {error}"
        return InputError(f"Cannot read {what} ({reason}); copy or download the file again.")


class TableUnpickler(pickle.Unpickler):
    """Builds object arrays of strings and numbers; every other name in the pickle is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Only the constructors that numpy itself writes."""
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if (module, name) == ("numpy._core.multiarray", "_reconstruct"):
            return _reconstruct
        if (module, name) == ("numpy._core.multiarray", "scalar"):
            return _scalar
        msg = f"its pickle asks for {module}.{name}"
        raise pickle.UnpicklingError(msg)


def _reconstruct(kind: type, shape: tuple[int, ...], code: bytes) -> NDArray[Any]:
    """The empty array that numpy's pickles begin with; the real shape follows as state."""
    if kind is not np.ndarray or math.prod(shape):
        msg = f"its pickle begins an array of shape {shape}"
        raise pickle.UnpicklingError(msg)
    return np.ndarray(shape, np.dtype(code.decode("ascii")))


def _scalar(dtype: np.dtype, data: bytes) -> np.generic:
    if dtype.hasobject or not isinstance(data, bytes):
        msg = "its pickle holds a scalar of objects"
        raise pickle.UnpicklingError(msg)
    return np.frombuffer(data, dtype, 1)[0]


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    """The member as a file without a name: it is gone when the last map of it is."""
    file = tempfile.TemporaryFile(prefix="edgescope-")
    with archive.open(info) as stream:
        shutil.copyfileobj(stream, file, 1 << 20)
    file.flush()
    file.seek(0, os.SEEK_SET)
    return file
