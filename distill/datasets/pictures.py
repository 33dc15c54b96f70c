"""Image files of data sets -> arrays, by the readers of the runtime: training and the device see the same pixels.

Labels are read alike by all: what a label image of a palette holds is its numbers, and not what they look like.
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

MASK_VALUES = (1, 255, 65535)
PNG = (".png",)
TIFF = (".tif", ".tiff")
ONE_AFTER_THE_OTHER = "TZ"  # axes along which planes are no channels


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


def channels_of(image: "ImageFile", name: str, channel: int | str | None = None) -> "tuple[NDArray, Sequence[str]]":
    """The channels of an image (C, H, W), the nuclear one first, and their names, "" where the file has none.

    channel : which one is the nuclear one; None takes the one whose name says so, or, without names, the first
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
    with foreign(repr(name)):
        count = scene.loops[axis] if axis else 1
        planes = [scene.read(tuple(k if a == axis else 0 for a in scene.loops)) for k in range(count)]
    picture = np.stack(planes).astype(type_, copy=False)
    if axis == "S":
        return grey_of(np.moveaxis(picture, 0, -1), name)[None], ("",)
    names = scene.channels if len(scene.channels) == count and any(scene.channels) else ("",) * count
    first = choose_channel(names, channel, repr(name), "?channel=NAME") if any(names) or channel is not None else 0
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


def instances(picture: "NDArray", name: str) -> "NDArray[np.int32]":
    """Instances numbered from 1, from ids or from a mask."""
    if picture.ndim == 3 and picture.shape[-1] in (2, 3, 4):
        picture = grey_of(picture, name)
    if picture.ndim != 2:
        msg = f"Labels {name!r} have shape {picture.shape}; give one (H, W) image of instance ids."
        raise InputError(msg)
    ids, place = np.unique(picture, return_inverse=True)
    whole = picture.dtype.kind in "bui" or (np.isfinite(ids).all() and (ids == np.rint(ids)).all())
    if not whole or (ids < 0).any():
        msg = f"Labels {name!r} hold {ids[0]} to {ids[-1]} ({picture.dtype}); give whole numbers from 0."
        raise InputError(msg)
    objects = ids[ids > 0]
    if len(objects) == 1 and objects[0] in MASK_VALUES:
        from scipy import ndimage

        components: NDArray = ndimage.label(picture > 0)[0]  # type: ignore[index]  # touching at an edge, as in runtime
        return components.astype(np.int32)
    return (place.reshape(picture.shape) + int(ids[0] > 0)).astype(np.int32)


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
