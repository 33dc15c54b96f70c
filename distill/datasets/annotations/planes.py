"""The one plane of an image file that a student sees; stacks and time-lapses are not taken for channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from distill.datasets.pictures import check_finite, grey_of
from runtime.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES = ("uint8", "uint16", "float32")
MOST_CHANNELS = 64
MOST_UNNAMED = 5  # pages without a meaning that are taken as channels


def planes_of(picture: NDArray, axes: str, name: str) -> NDArray:
    """(C, H, W) of an accepted dtype; InputError for a series, colours and other dtypes.

    axes : a letter per axis, as distill.datasets.pictures.decode_with_axes gives them
    """
    if picture.ndim == 3 and (axes.endswith("S") or picture.shape[-1] in (3, 4)) and picture.shape[0] > MOST_CHANNELS:
        picture = grey_of(picture, name)
    if picture.ndim == 2:
        picture = picture[None]
    if picture.ndim != 3 or len(picture) > MOST_CHANNELS or not picture.size:
        msg = f"Image {name!r} has shape {picture.shape}; give (H, W), or (C, H, W) with the nucleus first."
        raise InputError(msg)
    _check_no_series(picture.shape, axes, name)
    if picture.dtype.name not in DTYPES:
        msg = f"Image {name!r} is {picture.dtype}; save it as one of {', '.join(DTYPES)}."
        raise InputError(msg)
    check_finite(picture, name)
    return np.ascontiguousarray(picture, picture.dtype.newbyteorder("="))


def nuclear_plane(picture: NDArray, axes: str, name: str, channel: int | None = None) -> NDArray:
    """The plane (H, W) of a picture. channel : which one, from 0; needed where there are several

    Colours are channels here; grey ones that are stored as colours are one plane.
    """
    if picture.ndim == 3 and axes.endswith("S"):
        if channel is None:
            return planes_of(grey_of(picture, name), "YX", name)[0]
        picture, axes = np.moveaxis(picture, -1, 0), "CYX"
    planes = planes_of(picture, axes, name)
    if channel is None and len(planes) > 1:
        msg = f"Image {name!r} has {len(planes)} channels; say which one holds the nuclei: --channel N, from 0."
        raise InputError(msg)
    if channel is not None and not 0 <= channel < len(planes):
        msg = f"Image {name!r} has {len(planes)} channel(s), and --channel is {channel}; give 0 to {len(planes) - 1}."
        raise InputError(msg)
    return planes[channel or 0]


def _check_no_series(shape: tuple[int, ...], axes: str, name: str) -> None:
    """InputError where the planes are time points or focal planes, or more pages than have a meaning."""
    what = {"T": "time points", "Z": "focal planes"}.get(axes[:1])
    if shape[0] > 1 and what:
        msg = f"Image {name!r} holds {shape[0]} {what} ({axes}), no channels; save one plane per file."
        raise InputError(msg)
    if shape[0] > MOST_UNNAMED and axes[:1] not in ("C", "S", "Y"):
        msg = (
            f"Image {name!r} holds {shape[0]} pages of unknown meaning ({axes}); save one plane per file, or say in "
            "the file that they are channels (axes CYX)."
        )
        raise InputError(msg)
