"""Image files as scenes with named axes, whoever reads them: predict, segment, the benchmarks and the trainings.

A file is known by its first bytes, not by its name. What its library throws becomes one error that names the file.
"""

from __future__ import annotations

import io
import stat
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ..errors import EdgescopeError, InputError, shortage
from ..system.places import is_litter
from .formats import czi, lif, nd2, png, tiff, zarr
from .ome_zarr import METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .scene import ImageFile

FORMATS: tuple[tuple[tuple[bytes, ...], Callable[[Any, str], ImageFile]], ...] = (
    ((png.MAGIC,), png.open_scenes),
    (tiff.MAGICS, tiff.open_scenes),
    ((czi.MAGIC,), czi.open_scenes),
    (nd2.MAGICS, nd2.open_scenes),
    ((lif.MAGIC,), lif.open_scenes),
)
FOLDERS = (".zarr",)
OUTPUTS = ("-mask.ome.tif", "-labels.ome.tif", "-probability.ome.tif")  # how the results of `predict` end
SUFFIXES = (
    *(".png", ".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".qptiff", ".svs", ".scn", ".ndpi"),
    *(".czi", ".nd2", ".lif", *FOLDERS),
)


def open_image(path: Path, name: str | None = None) -> ImageFile:
    """Open an image file, or an OME-Zarr folder, and list its scenes; close it after use.

    name : what errors call it, instead of its path
    InputError when it is no image of a kind that is read here, empty, damaged, or too large for the memory.
    """
    path = Path(path)
    name = str(path) if name is None else name
    try:
        if path.is_dir():
            return _parsed(name, partial(zarr.open_scenes, path, name))
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
            msg = f"{name} is {kind}; give a file."
            raise InputError(msg)
        with path.open("rb") as file:
            start = file.read(32)
    except OSError as error:
        msg = f"{name} cannot be read: {error.strerror}."
        raise InputError(msg) from error
    return _open(path, start, name)


def open_bytes(data: bytes, name: str) -> ImageFile:
    """The same for a file's bytes, e.g. of a member of a zip."""
    return _open(io.BytesIO(data), data[:32], name)


def find_images(paths: Iterable[str]) -> list[Path]:
    """The images behind paths, folders and patterns (which Windows' shells leave alone), each once, in order.

    In folders, results of `predict` are passed over, and what macOS and Windows leave there.
    """
    found: dict[Path, None] = {}
    for text in paths:
        try:
            matches = _matches(Path(text))
        except OSError:  # a name that is too long, a folder that may not be read: said when it is its turn
            matches = [Path(text)]
        if not matches:
            msg = f"{text} holds no image ({' '.join(SUFFIXES)}); give a file, a folder or a pattern."
            raise InputError(msg)
        found.update(dict.fromkeys(matches))
    return list(found)


def _matches(path: Path) -> list[Path]:
    if path.is_dir() and not is_image_folder(path):
        return sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not _is_passed_over(p))
    if not path.exists() and any(sign in str(path) for sign in "*?["):
        pattern = path.relative_to(path.anchor)
        return sorted(p for p in Path(path.anchor).glob(str(pattern)) if not _is_passed_over(p))
    return [path]


def _is_passed_over(path: Path) -> bool:
    return path.name.lower().endswith(OUTPUTS) or is_litter(path.name)


def is_image_folder(path: Path) -> bool:
    """Whether a folder is one image, an OME-Zarr, and not a folder of images."""
    return path.suffix.lower() in FOLDERS or any((path / name).is_file() for name in METADATA)


def stem_of(name: str | PurePath) -> str:
    """A file's name without its suffix, and without the ".ome" before it, in whatever case."""
    stem = PurePath(name).stem
    return stem[: -len(".ome")] if stem.lower().endswith(".ome") and len(stem) > len(".ome") else stem


def _open(file: Path | io.BytesIO, start: bytes, name: str) -> ImageFile:
    if not start:
        msg = f"{name} is empty (0 bytes); copy it again."
        raise InputError(msg)
    for magics, open_scenes in FORMATS:
        if start.startswith(magics):
            return _parsed(name, partial(open_scenes, file, name))
    msg = (
        f"{name} is no PNG, TIFF, CZI, ND2 or LIF (it starts with {start[:4]!r}); convert it to OME-TIFF, or give an "
        f"OME-Zarr folder."
    )
    raise InputError(msg)


def _parsed(name: str, parse: Callable[[], ImageFile]) -> ImageFile:
    with foreign(name):
        opened = parse()
        if not opened.scenes or any(not size for scene in opened.scenes for size in scene.shape):
            opened.close()
            msg = "it holds no pixels"
            raise ValueError(msg)
        return opened


class foreign:
    """Whatever a library throws at a foreign file is one error that names the file."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, EdgescopeError) or not isinstance(error, Exception):
            return
        if missing := shortage(error):
            msg = f"{self._name} does not fit the memory ({missing}); cut it into smaller images."
        elif isinstance(error, OSError) and error.errno is not None:
            msg = f"{self._name} cannot be read: {error.strerror}."
        else:  # of many kinds, among them those of the codecs
            msg = f"{self._name} is damaged or cut short ({type(error).__name__}: {error}); copy it again."
        raise InputError(msg) from error
