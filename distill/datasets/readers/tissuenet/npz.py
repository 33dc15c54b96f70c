"""Arrays inside an .npz that is larger than memory, and object arrays that nobody has to trust.

`numpy.load` reads a member whole, and reads object arrays by running whatever pickle says. Here a stored
member is memory-mapped where it lies in the zip, a large compressed one is unpacked once to an anonymous
temporary file (in TMPDIR) and mapped there, and a pickle may describe a table of strings and numbers, no more.
"""

import io
import math
import os
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from runtime.errors import EdgescopeError, InputError

IN_MEMORY = 256 << 20  # compressed members up to this size are simply read
LARGEST_PICKLE = 256 << 20
LOCAL_HEADER = 30  # bytes before the name in a zip's local file header


class Npz:
    """One .npz file; arrays are opened when asked for and kept open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._foreign(None), zipfile.ZipFile(path) as archive:
            self._members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        self._open: dict[str, NDArray[Any]] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self._members)

    def shape(self, key: str) -> tuple[int, ...]:
        """Of one array, from its header alone."""
        with self._foreign(key), zipfile.ZipFile(self.path) as archive:
            return self._header(archive, key)[0]

    def array(self, key: str) -> NDArray[Any]:
        """An array that needs no pickle, read-only; InputError where it would need one."""
        if key not in self._open:
            with self._foreign(key):
                self._open[key] = self._map(key)
        return self._open[key]

    def objects(self, key: str) -> NDArray[Any]:
        """An array of objects, through an unpickler that knows tables of strings and numbers only."""
        info = self._members[key]
        if info.file_size > LARGEST_PICKLE:
            msg = f"{key!r} in {str(self.path)!r} is {info.file_size} bytes of pickle; do not trust this file."
            raise InputError(msg)
        with self._foreign(key):
            with zipfile.ZipFile(self.path) as archive:
                stream = io.BytesIO(archive.read(info))
            shape, _, dtype = _read_header(stream)
            loaded = TableUnpickler(stream).table() if dtype.hasobject else np.frombuffer(stream.read(), dtype)
            return np.asarray(loaded).reshape(shape)

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

    @contextmanager
    def _foreign(self, key: str | None) -> Generator[None]:
        """Whatever a damaged file makes its readers throw is one error that names the file."""
        try:
            yield
        except EdgescopeError:
            raise
        except pickle.UnpicklingError as error:
            msg = f"{key!r} in {str(self.path)!r} is refused: {error}; do not trust this file."
            raise InputError(msg) from error
        except Exception as error:
            what = f"{str(self.path)!r}" if key is None else f"{key!r} of {str(self.path)!r}"
            msg = f"Cannot read {what} ({type(error).__name__}: {error}); copy or download the file again."
            raise InputError(msg) from error


class TableUnpickler(pickle.Unpickler):
    """Reads a table of strings and numbers as numpy pickles it. Every name in the pickle becomes an object of ours.

    A pickle may call what its names stand for, with any arguments. So no name stands for a type of numpy: an array of
    objects whose memory it sets is a way into this process. Ours check what they are called with, and build the array
    themselves when its contents are known to be strings and numbers.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Only the names that numpy itself writes."""
        call = CALLS.get((module.replace("numpy.core", "numpy._core"), name))
        if call is None:
            msg = f"its pickle asks for {module}.{name}"
            raise pickle.UnpicklingError(msg)
        return _Call(call)

    def table(self) -> NDArray[Any]:
        """The array of objects that the pickle describes."""
        loaded = self.load()
        if not isinstance(loaded, _Table) or loaded.values is None:
            msg = f"its pickle holds {type(loaded).__name__} and no table"
            raise pickle.UnpicklingError(msg)
        return loaded.values


class _Call:
    """What a name in a pickle stands for: it can be called, and nothing in it can be set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: object) -> None:
        msg = "its pickle changes what it was not asked to"
        raise pickle.UnpicklingError(msg)


class _Kind:
    """Stands for a numpy.dtype."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, *_: object) -> None:
        if not (isinstance(code, str) and KIND.fullmatch(code)):
            msg = f"its pickle holds values of type {code!r}"
            raise pickle.UnpicklingError(msg)
        self.code, self.order = code, "="

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "=")):
            msg = "its pickle changes a type"
            raise pickle.UnpicklingError(msg)
        self.order = state[1]


class _Table:
    """Stands for the empty array that numpy's pickles begin with; shape and contents follow as state."""

    __slots__ = ("values",)

    def __init__(self, *_: object) -> None:
        self.values: NDArray[Any] | None = None

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], list)):
            msg = "its pickle holds an array that is no table"
            raise pickle.UnpicklingError(msg)
        _, shape, _, fortran, items = state
        if odd := {type(item).__name__ for item in items if not isinstance(item, PLAIN)}:
            msg = f"its pickle holds {', '.join(sorted(odd))} in a table of strings and numbers"
            raise pickle.UnpicklingError(msg)
        flat = np.empty(len(items), object)
        flat[:] = items
        self.values = flat.reshape(shape, order="F" if fortran else "C")


def _scalar(kind: object, data: object) -> np.generic:
    if not (isinstance(kind, _Kind) and kind.code[0] != "O" and isinstance(data, bytes)):
        msg = "its pickle holds a scalar of objects"
        raise pickle.UnpicklingError(msg)
    return np.frombuffer(data, np.dtype(kind.order + kind.code), 1)[0]


def _never(*_: object) -> None:
    msg = "its pickle makes an array by itself"
    raise pickle.UnpicklingError(msg)


PLAIN = (str, int, float, np.generic, type(None))
KIND = re.compile(r"O8?|[biufUS][0-9]{1,4}")
CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _never,  # named, as an argument of _reconstruct, and never called
    ("numpy", "dtype"): _Kind,
    ("numpy._core.multiarray", "_reconstruct"): _Table,
    ("numpy._core.multiarray", "scalar"): _scalar,
}


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
