"""Image files of data sets -> arrays, by the readers of the runtime: training and the device see the same pixels.

What the pixels of a label image mean is said in annotations/; of a palette they are its numbers, not its colours.
"""

import io
import warnings
from itertools import product
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from runtime.errors import EdgescopeError, InputError
from runtime.images.files import foreign, open_bytes
from runtime.images.ome_zarr import choose_scene
from runtime.images.planes import choose_channel, frame_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

    from runtime.images.scene import ImageFile, Scene

PNG = (".png",)
TIFF = (".tif", ".tiff")
ONE_AFTER_THE_OTHER = "TZ"  # axes along which planes are no channels
MOST_CHANNELS = 64
MOST_UNNAMED = 5  # pages of an axis without a meaning that are taken for channels


def decode(data: bytes, name: str) -> "NDArray":
    """Pixels as they are stored, with the axes of the file: (H, W), (C, H, W), (H, W, S), ...; a PNG's palette numbers.

    For labels; images are read by `channels_of`. name : for its suffix, and for the error, which names the file
    """
    if PurePosixPath(name).suffix.lower() in PNG:
        return np.asarray(open_png(data, name))
    with open_bytes(data, repr(name)) as image:
        return pixels_of(image, name)


def pixels_of(image: "ImageFile", name: str) -> "NDArray":
    """All pixels of an open file with one scene, with the axes of the file."""
    scene = only_scene(image, name)
    pixels = np.empty(scene.shape, scene.dtype)
    for index in product(*map(range, scene.loops.values())):
        at = dict(zip(scene.loops, index, strict=True))
        with foreign(repr(name)):
            pixels[tuple(at.get(axis, slice(None)) for axis in scene.axes)] = scene.read(index)
    return pixels


def only_scene(image: "ImageFile", name: str) -> "Scene":
    """The scene of a file of a data set; InputError where it has several."""
    names = [scene.name or str(number) for number, scene in enumerate(image.scenes)]
    return image.scenes[names.index(choose_scene(repr(name), names, None, image.default))]


def channels_of(
    image: "ImageFile", name: str, channel: int | str | None = None, option: str = "?channel=NAME"
) -> "tuple[NDArray, Sequence[str]]":
    """The channels of an image (C, H, W), the nuclear one first, and their names, "" where the file has none.

    channel : which one is the nuclear one; None takes the one whose name says so, or, without names, the first
    option : how a user says which one, for the error
    InputError for time series and stacks, which are no channels, colour pictures, and other types of pixels. Frames are
    uint8, uint16 or float32, as they are where the student runs.
    """
    scene = only_scene(image, name)
    long = [axis for axis in scene.loops if scene.loops[axis] > 1]
    if wrong := [axis for axis in long if axis in ONE_AFTER_THE_OTHER]:
        what = " and ".join({"T": "time points", "Z": "planes along Z"}[axis] for axis in wrong)
        sizes = " and ".join(str(scene.loops[axis]) for axis in wrong)
        msg = f"Image {name!r} has {sizes} {what}; save each plane as an image of its own."
        raise InputError(msg)
    if len(long) > 1:
        msg = f"Image {name!r} has shape {scene.shape}; give (H, W), or (C, H, W) with the nucleus first."
        raise InputError(msg)
    type_, axis = frame_type(scene.dtype, repr(name)), long[0] if long else None
    count = scene.loops[axis] if axis else 1
    if count > (MOST_CHANNELS if axis in ("C", "S") else MOST_UNNAMED):
        msg = (
            f"Image {name!r} has shape {scene.shape}: {count} pages are no channels; save one plane per file, or say "
            "in the file that they are channels (axes CYX)."
        )
        raise InputError(msg)
    with foreign(repr(name)):
        planes = [scene.read(tuple(k if a == axis else 0 for a in scene.loops)) for k in range(count)]
    picture = np.stack(planes).astype(type_, copy=False)
    check_finite(picture, name)
    if axis == "S":
        return grey_of(np.moveaxis(picture, 0, -1), name)[None], ("",)
    names = scene.channels if len(scene.channels) == count and any(scene.channels) else ("",) * count
    first = choose_channel(names, channel, repr(name), option) if any(names) or channel is not None else 0
    order = [first, *(k for k in range(count) if k != first)]
    return picture[order], [names[k] for k in order]


def open_png(data: bytes, name: str) -> "Image":
    """A decoded Pillow image; InputError naming the file where the bytes are no whole picture."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        msg = f"Reading {name!r} needs Pillow; pip install 'edgescope[io]'."
        raise EdgescopeError(msg) from error
    broken = (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data))
            picture.load()
    except (*broken, OSError, SyntaxError, ValueError) as error:
        raise _unreadable(data, name, error) from error
    return picture


def check_finite(picture: "NDArray", name: str) -> None:
    """InputError naming the file where a picture of floats holds a value that is none."""
    if picture.dtype.kind == "f" and (bad := int(np.count_nonzero(~np.isfinite(picture)))):
        first = tuple(map(int, np.argwhere(~np.isfinite(picture))[0]))
        msg = f"{name!r} holds {bad} value(s) that are not finite, the first at {first}; replace them, e.g. by 0."
        raise InputError(msg)


def grey_of(picture: "NDArray", name: str) -> "NDArray":
    """The one plane of a grey picture that is stored as colours, whatever its alpha says."""
    colours = picture[..., : 3 if picture.shape[-1] > 2 else 1]
    if (colours != colours[..., :1]).any():
        msg = f"{name!r} is a colour picture; save the nuclear plane, or the instance ids, as grey values."
        raise InputError(msg)
    return colours[..., 0]


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """(height, width) from the header alone: nothing is decoded."""
    if PurePosixPath(name).suffix.lower() in PNG:
        if len(data) < 24 or data[12:16] != b"IHDR":
            raise _unreadable(data, name, ValueError("no PNG header"))
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    with open_bytes(data, repr(name)) as image:
        return only_scene(image, name).frame_shape


def _unreadable(data: bytes, name: str, error: Exception) -> InputError:
    found = f"is not a whole image ({type(error).__name__}, {len(data)} bytes)"
    what = found if data else "is empty (0 bytes)"
    return InputError(f"{name!r} {what}; replace the file, or take it out of the data.")
