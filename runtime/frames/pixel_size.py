"""Pixel sizes: whether a frame's is the student's, and by how much to rescale the frame where it is not."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from ..errors import InputError

Rescale: TypeAlias = Literal["auto"] | bool

NEAR = 1.25  # students are trained on objects of many sizes; a factor this small is nothing to them
FAR = 2.0  # beyond this factor masks suffer
LARGEST_FACTOR, SMALLEST_FACTOR = 4.0, 1 / 8  # of rescaling: 16 times the pixels, and 1/64 of them


def check(pixel_size_um: float | None) -> None:
    """InputError for what is no pixel size."""
    if pixel_size_um is not None and not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
        msg = f"The pixel size is {pixel_size_um} um; it must be over 0, or None when it is not known."
        raise InputError(msg)


def factor(pixel_size_um: float | None, made_for_um: float | None, rescale: Rescale) -> float:
    """By how much a frame's sides are to be multiplied, so that its pixels are the student's; 1.0 for not at all.

    rescale : False never; "auto" where the sizes differ by more than NEAR; True wherever they differ. A factor beyond
        LARGEST_FACTOR or SMALLEST_FACTOR is not applied: such a frame shows other things than the student knows
    """
    if rescale is False or pixel_size_um is None or made_for_um is None:
        return 1.0
    wanted = pixel_size_um / made_for_um
    if not SMALLEST_FACTOR <= wanted <= LARGEST_FACTOR:
        return 1.0
    return 1.0 if rescale == "auto" and _apart(wanted) <= NEAR else wanted


def is_far(pixel_size_um: float | None, made_for_um: float | None, limit: float = FAR) -> bool:
    """Whether both are known and differ by more than a factor."""
    return pixel_size_um is not None and made_for_um is not None and _apart(pixel_size_um / made_for_um) > limit


def _apart(ratio: float) -> float:
    return max(ratio, 1 / ratio)
