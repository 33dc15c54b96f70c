"""How well two masks, or two label images, overlap. The one definition of quality in all four packages.

Masks are (H, W) bool, or integers whose non-zero values are foreground. Two empty images agree perfectly (1.0);
an empty one and one that is not do not agree at all (0.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def dice(a: NDArray[Any], b: NDArray[Any]) -> float:
    """2 |a and b| / (|a| + |b|) in [0, 1]; both empty 1.0, one empty 0.0."""
    return dice_of(*confusion(a, b))


def iou(a: NDArray[Any], b: NDArray[Any]) -> float:
    """|a and b| / |a or b| in [0, 1]; both empty 1.0, one empty 0.0."""
    return iou_of(*confusion(a, b))


def confusion(a: NDArray[Any], b: NDArray[Any]) -> tuple[int, int, int]:
    """Pixels in (both, only b, only a): true positives, false positives and false negatives when `a` is the truth.

    Sum them over images and give the sums to dice_of for the pooled Dice.
    """
    a, b = _mask(a), _mask(b)
    _same_shape(a, b)
    both = int(np.count_nonzero(a & b))
    return both, int(np.count_nonzero(b)) - both, int(np.count_nonzero(a)) - both


def dice_of(tp: float, fp: float, fn: float) -> float:
    """Dice of counts, which may be summed over images; nothing at all is 1.0."""
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


def iou_of(tp: float, fp: float, fn: float) -> float:
    """Intersection over union of counts, which may be summed over images; nothing at all is 1.0."""
    return tp / (tp + fp + fn) if tp + fp + fn else 1.0


@dataclass(frozen=True)
class ObjectCounts:
    """Objects found (tp), invented (fp) and missed (fn). Counts of several images add up with +."""

    tp: int
    fp: int
    fn: int

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        return ObjectCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def average_precision(self) -> float:
        """tp / (tp + fp + fn), as in the Data Science Bowl 2018; no object in either image is 1.0."""
        return iou_of(self.tp, self.fp, self.fn)


def match_objects(labels_true: NDArray[Any], labels_pred: NDArray[Any], iou: float = 0.5) -> ObjectCounts:
    """Count the objects whose intersection over union is strictly over `iou`.

    labels_true, labels_pred : integers of shape (H, W), 0 is background, any other numbers
    iou : 0.5 to 1; from 0.5 on an object has at most one partner, so no assignment has to be searched
    """
    return matched_objects(labels_true, labels_pred, iou)[0]


def matched_objects(
    labels_true: NDArray[Any], labels_pred: NDArray[Any], iou: float = 0.5
) -> tuple[ObjectCounts, NDArray[np.float64]]:
    """What match_objects counts, and the intersection over union of each object found."""
    pairs = match_pairs(labels_true, labels_pred, iou)
    tp = len(pairs.ious)
    return ObjectCounts(tp, len(pairs.pred_areas) - tp, len(pairs.true_areas) - tp), pairs.ious


@dataclass(frozen=True, eq=False)
class ObjectPairs:
    """Which labelled object matches which predicted one.

    true_areas, pred_areas : int64 (n,) and (m,), pixels of each object, by ascending label
    true, pred : int64 (k,), the objects of each pair, as positions in the areas
    ious : float64 (k,), intersection over union of each pair
    """

    true_areas: NDArray[np.int64]
    pred_areas: NDArray[np.int64]
    true: NDArray[np.int64]
    pred: NDArray[np.int64]
    ious: NDArray[np.float64]


def match_pairs(labels_true: NDArray[Any], labels_pred: NDArray[Any], iou: float = 0.5) -> ObjectPairs:
    """The pairs that match_objects counts; its arguments and errors."""
    if not 0.5 <= iou < 1:
        msg = f"The IoU threshold is {iou}; it must be at least 0.5, where matches are unique, and under 1."
        raise InputError(msg)
    _same_shape(labels_true, labels_pred)
    true, true_areas = _objects(labels_true)
    pred, pred_areas = _objects(labels_pred)
    shared = (true >= 0) & (pred >= 0)
    pairs, both = np.unique(true[shared] * len(pred_areas) + pred[shared], return_counts=True)
    first, second = np.divmod(pairs, max(1, len(pred_areas)))
    union = true_areas[first] + pred_areas[second] - both
    matched = both > iou * union
    return ObjectPairs(true_areas, pred_areas, first[matched], second[matched], both[matched] / union[matched])


def panoptic_quality(tp: float, fp: float, fn: float, matched_iou: float) -> float:
    """matched_iou / (tp + fp / 2 + fn / 2), matched_iou the sum of the IoU of the objects found (Kirillov et al. 2019,
    CVPR, "Panoptic segmentation"). Counts and sums may be of several images; nothing at all is 1.0."""
    return matched_iou / (tp + fp / 2 + fn / 2) if tp + fp + fn else 1.0


def _objects(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the objects 0, 1, ... (background -1), pixel by pixel, and count their pixels."""
    if labels.dtype.kind not in "iu":
        msg = f"A label image must hold whole numbers, not {labels.dtype}; cast it with labels.astype(np.int32)."
        raise InputError(msg)
    values, number, areas = np.unique(labels.ravel(), return_inverse=True, return_counts=True)
    is_object = values != 0
    numbers = np.where(is_object, np.cumsum(is_object) - 1, -1)
    return numbers[number].astype(np.int64), areas[is_object].astype(np.int64)


def _mask(array: NDArray[Any]) -> NDArray[np.bool_]:
    if array.dtype.kind not in "biu":
        msg = f"A mask must be bool or whole numbers, not {array.dtype}; compare with a threshold first."
        raise InputError(msg)
    return array.astype(np.bool_, copy=False)


def _same_shape(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        msg = f"The two images have different shapes, {a.shape} and {b.shape}; compare images of the same frame."
        raise InputError(msg)
