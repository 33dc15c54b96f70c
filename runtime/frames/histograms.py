"""The intensities of a plane that is read in blocks: exactly those of the whole plane.

Counts of blocks add up, so blocks may be read anywhere, in any order. Where pixels are left out because of others near
them (`reach`), a block is read with as many pixels around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .intensities import Ask
from .normalize import check_frame, count

if TYPE_CHECKING:
    from .intensities import Counts
    from .normalize import Frame

Part = tuple[slice, slice]


def count_all(block: Frame) -> Counts:
    """The first count of a plane, of one block. InputError when the block is no part of a frame."""
    check_frame(block)
    return count(block, Ask())


def around(part: Part, shape: tuple[int, int], ask: Ask) -> tuple[Part, Part]:
    """What has to be read of a plane (H, W) to count its part, and where the part is in that."""
    reach = max((away.reach for away in ask.away), default=0)
    outer = tuple(
        slice(max(0, side.start - reach), min(side.stop + reach, size)) for side, size in zip(part, shape, strict=True)
    )
    inner = tuple(slice(side.start - o.start, side.stop - o.start) for side, o in zip(part, outer, strict=True))
    return (outer[0], outer[1]), (inner[0], inner[1])
