"""The size at which a student sees a frame: by how much the frame is resized, and why.

A student works at one size of object (manifest.ObjectSize). What brings a frame to it is, in this order:
    given        the diameter of the objects in the frame, in pixels, or in micrometres where the pixel size is known
    pixel_size   the pixel size, where the student's own or its objects' size in micrometres is known, too
    seen         the frame itself; see runtime.segmentation.seeing
A frame whose objects are within the student's range stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..artifact.manifest import ObjectSize

Diameter: TypeAlias = float | str  # pixels, or "auto", "off", "24", "8um"
Source: TypeAlias = Literal["given", "pixel_size", "seen", "unseen", "off"]

LARGEST_FACTOR, SMALLEST_FACTOR = 2.0, 1 / 16  # of resizing: 4 times the pixels, and 1/256 of them
NEAR = 1.25  # students are trained on objects of many sizes; a pixel size this near to theirs is theirs
FAR = 2.0  # beyond this factor masks suffer
WORDS = "auto, off, a number of pixels such as 24, or micrometres such as 8um"


@dataclass(frozen=True)
class Scale:
    """What a frame was resized by, and why.

    factor : new side over old side; 1.0 when the frame was not resized
    diameter_px : of the objects, in pixels of the frame; None when it is not known
    source : "given", "pixel_size" or "seen"; "unseen": looked for in the frame and not found; "off": not looked for
    """

    factor: float
    diameter_px: float | None
    source: Source

    def __str__(self) -> str:
        """For people: "objects of 109 px (seen), resized by 0.18"."""
        if self.source == "off":
            return "as it is"
        if self.source == "unseen":
            return "size of the objects not seen, as it is"
        objects = "" if self.diameter_px is None else f"objects of {self.diameter_px:.3g} px "
        done = "as it is" if self.factor == 1.0 else f"resized by {self.factor:.2g}"
        return f"{objects}({self.source.replace('_', ' ')}), {done}"


SEEN: Source = "seen"
AS_IT_IS = Scale(1.0, None, "off")


@dataclass(frozen=True)
class DiameterRequest:
    """What the user asks for: "auto", "off", or a diameter in "px" or "um"."""

    kind: Literal["auto", "off", "px", "um"] = "auto"
    value: float = 0.0

    @classmethod
    def of(cls, diameter: Diameter | None) -> DiameterRequest:
        """Read a diameter; None is "auto". InputError for anything else than WORDS."""
        if diameter is None or diameter == "auto":
            return cls()
        if diameter == "off":
            return cls("off")
        text = str(diameter).strip().lower()
        number = text.removesuffix("um").removesuffix("\u00b5m").removesuffix("\u03bcm").removesuffix("px").strip()
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if isinstance(diameter, bool) or not (math.isfinite(value) and value > 0):
            msg = f"The diameter is {diameter!r}; give {WORDS}."
            raise InputError(msg)
        return cls("um" if text[len(number) :].strip().endswith("m") else "px", value)


AUTO, OFF = DiameterRequest(), DiameterRequest("off")


def check_pixel_size(pixel_size_um: float | None) -> None:
    """InputError for what is no pixel size."""
    if pixel_size_um is not None and not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
        msg = f"The pixel size is {pixel_size_um} um; it must be over 0, or None when it is not known."
        raise InputError(msg)


def known_scale(
    request: DiameterRequest, pixel_size_um: float | None, size: ObjectSize | None, made_for_um: float | None
) -> Scale | None:
    """The scale, as far as it is known without looking at the frame; None when the frame must be looked at.

    pixel_size_um : of the frame; size : of the student's objects; made_for_um : the student's pixel size
    InputError for a diameter that cannot be used: in micrometres without a pixel size, or for a student that does not
    know the size of its own objects.
    """
    if request.kind == "off":
        return AS_IT_IS
    if request.kind in ("px", "um"):
        return _given(request, pixel_size_um, size)
    if pixel_size_um is not None and made_for_um is not None:
        factor = pixel_size_um / made_for_um
        near = 1 / NEAR <= factor <= NEAR or not SMALLEST_FACTOR <= factor <= LARGEST_FACTOR
        return Scale(1.0 if near else factor, None, "pixel_size")
    if size is None:
        return AS_IT_IS
    if pixel_size_um is not None and size.median_um is not None:
        diameter = size.median_um / pixel_size_um
        return Scale(factor_for(diameter, size), diameter, "pixel_size")
    return None


def _given(request: DiameterRequest, pixel_size_um: float | None, size: ObjectSize | None) -> Scale:
    if request.kind == "um" and pixel_size_um is None:
        msg = (
            f"The diameter is {request.value:g} um, and the pixel size of the frame is not known; give it, or give the "
            "diameter in pixels."
        )
        raise InputError(msg)
    if size is None:
        msg = (
            f"The diameter is {request.value:g} {request.kind}, and the student does not say which size of object it "
            "was made for; use diameter off."
        )
        raise InputError(msg)
    diameter = request.value / pixel_size_um if request.kind == "um" and pixel_size_um else request.value
    return Scale(factor_for(diameter, size), diameter, "given")


def resized_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """(H, W) of a frame of that shape, resized."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def median_diameter(areas: NDArray[Any]) -> float | None:
    """The median diameter of objects, as discs of their areas, in pixels; None without objects.

    areas : of the objects, in pixels; those that are 0 are no objects
    """
    areas = areas[areas > 0]
    return 2 * math.sqrt(float(np.median(areas)) / math.pi) if areas.size else None


def median_diameter_of(labels: NDArray[np.int32]) -> float | None:
    """median_diameter of the objects of a label image, int32 (H, W), 0 is background."""
    return median_diameter(np.bincount(labels.ravel())[1:])


def is_far(pixel_size_um: float | None, made_for_um: float | None) -> bool:
    """Whether both pixel sizes are known and differ by more than a factor."""
    if pixel_size_um is None or made_for_um is None:
        return False
    ratio = pixel_size_um / made_for_um
    return max(ratio, 1 / ratio) > FAR


def factor_for(diameter_px: float, size: ObjectSize) -> float:
    """By how much a frame's sides are multiplied: 1.0 where its objects are within the student's range.

    diameter_px : of the frame's objects. The factor is limited to SMALLEST_FACTOR and LARGEST_FACTOR.
    """
    if size.low_px <= diameter_px <= size.high_px:
        return 1.0
    return min(max(size.median_px / diameter_px, SMALLEST_FACTOR), LARGEST_FACTOR)
