"""Objects that keep their number from frame to frame: each follows the object that it overlaps most, greedily.

This is the simplest tracking there is, for cells that move less than their size between two frames: no motion model,
no gaps, no divisions. Of the two halves of a cell that divides, the one that overlaps it more keeps its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Tracks:
    """The numbers of the objects in one stream of frames.

    min_iou : least intersection over union of an object and the one that it follows, over 0 and at most 1
    """

    def __init__(self, min_iou: float) -> None:
        if not 0 < min_iou <= 1:
            msg = f"The least overlap of a track is {min_iou}; it must be over 0 and at most 1."
            raise InputError(msg)
        self._min_iou = min_iou
        self._before: NDArray[np.int32] | None = None
        self._ids = np.zeros(0, np.int64)
        self.last = 0  # the greatest number that was ever given

    def follow(self, labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
        """The numbers of a frame's objects, int64 (count,): that of object k is at k - 1. None is given twice.

        labels : int32 (H, W), 0 is background, objects are 1 to count. A frame of another shape begins anew.
        """
        ids = np.zeros(count, np.int64)
        if self._before is not None and self._before.shape == labels.shape:
            for old, new in self._pairs(labels, count):
                ids[new] = self._ids[old]
        fresh = ids == 0
        ids[fresh] = self.last + 1 + np.arange(np.count_nonzero(fresh))
        self.last = max(self.last, int(ids.max(initial=0)))
        self._before, self._ids = np.array(labels), ids
        return ids

    def _pairs(self, labels: NDArray[np.int32], count: int) -> list[tuple[int, int]]:
        """(old, new) objects, from 0 on, by falling overlap, each of them once."""
        assert self._before is not None
        shared = (self._before > 0) & (labels > 0)
        pairs = self._before[shared].astype(np.int64) * (count + 1) + labels[shared]
        pairs, both = np.unique(pairs, return_counts=True)
        old, new = pairs // (count + 1), pairs % (count + 1)
        areas = [np.bincount(image.ravel(), minlength=1) for image in (self._before, labels)]
        iou = both / (areas[0][old] + areas[1][new] - both)
        best = np.argsort(-iou, kind="stable")[: np.count_nonzero(iou >= self._min_iou)]
        taken_old: set[int] = set()
        taken_new: set[int] = set()
        chosen: list[tuple[int, int]] = []
        for one, other in zip((old[best] - 1).tolist(), (new[best] - 1).tolist(), strict=True):
            if one not in taken_old and other not in taken_new:
                taken_old.add(one)
                taken_new.add(other)
                chosen.append((one, other))
        return chosen
