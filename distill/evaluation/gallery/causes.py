"""Why a mask is wrong: every wrong pixel of an image goes to one cause, and merged and split objects are counted.

A labelled object that is not half covered was missed; a found one that is not half labelled was invented. What is wrong
about all others is wrong at their rims: there the mask is too narrow or too wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from runtime.metrics import dice, match_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

HALF = 0.5
SMALL_PX = 12.0  # across: diameter of a disc of the object's area
ALIKE = 25  # percentile of the labelled nuclei's intensities from which on an invented object looks like one of them
CAUSES = {
    "dim": "nuclei missed that are dimmer than the image's median nucleus",
    "bright": "nuclei missed that are not",
    "unlabelled": "objects found that are as bright as labelled nuclei, but have no label",
    "background": "objects found that are dimmer than labelled nuclei, and have no label",
    "wide": "masks wider than the labels, at the rims of nuclei that were found",
    "narrow": "masks narrower than the labels, at the rims of nuclei that were found",
}


@dataclass(frozen=True)
class Findings:
    """What was measured on one image.

    wrong : wrong pixels by cause, see CAUSES; foreground : labelled pixels
    area_ratio : pixels of the mask for one labelled; None where nothing is labelled
    dice_narrower, dice_wider : of the mask without its outermost pixel, and with one more
    labelled, missed, missed_small, invented : objects; small ones are under SMALL_PX across
    merged : found objects that cover two labelled ones or more; split : labelled ones that hold two found ones or more
    """

    name: str
    dice: float
    ap50: float
    wrong: Mapping[str, int]
    foreground: int
    area_ratio: float | None
    dice_narrower: float
    dice_wider: float
    labelled: int
    missed: int
    missed_small: int
    invented: int
    merged: int
    split: int

    @property
    def wrong_pixels(self) -> int:
        """All of them."""
        return sum(self.wrong.values())

    @property
    def cause(self) -> str | None:
        """The one that most wrong pixels go to; None where no pixel is wrong."""
        return max(self.wrong, key=lambda name: self.wrong[name]) if self.wrong_pixels else None

    def share(self, *names: str) -> float:
        """Of these causes in the wrong pixels; 0 where there are none."""
        return sum(self.wrong[name] for name in names) / self.wrong_pixels if self.wrong_pixels else 0.0


def examine(
    name: str,
    frame: NDArray[np.float32],
    truth: NDArray[np.int32],
    found: NDArray[np.int32],
    min_area: int = 1,
) -> Findings:
    """Measure one image.

    frame : float32 (H, W) in [0, 1], normalised; truth, found : instance labels (H, W), 0 is background
    found : all objects of the mask; those under min_area pixels count as pixels, but not as objects
    """
    mask, due = found > 0, truth > 0
    objects, nuclei = _kept(found, min_area), LabelledObjects.of(truth, mask, frame)
    detections = LabelledObjects.of(found, due, frame)
    missed, invented = nuclei.covered < HALF, detections.covered < HALF
    merged, split = merges(truth, objects), merges(objects, truth)
    kept = detections.areas >= min_area
    return Findings(
        name=name,
        dice=dice(mask, due),
        ap50=match_objects(truth, objects).average_precision,
        wrong=_attribute(mask, due, truth, found, nuclei, detections),
        foreground=int(due.sum()),
        area_ratio=float(mask.sum() / due.sum()) if due.any() else None,
        dice_narrower=dice(ndimage.binary_erosion(mask, border_value=1), due),
        dice_wider=dice(ndimage.binary_dilation(mask), due),
        labelled=len(nuclei.areas),
        missed=int(missed.sum()),
        missed_small=int((missed & (across(nuclei.areas) < SMALL_PX)).sum()),
        invented=int((invented & kept).sum()),
        merged=merged,
        split=split,
    )


@dataclass(frozen=True)
class LabelledObjects:
    """The objects of a label image, one by one: number, pixels, share that another mask covers, mean intensity."""

    numbers: NDArray[np.int64]
    areas: NDArray[np.int64]
    covered: NDArray[np.float64]
    intensity: NDArray[np.float64]

    @classmethod
    def of(cls, labels: NDArray[np.int32], other: NDArray[np.bool_], frame: NDArray[np.float32]) -> LabelledObjects:
        """other : mask (H, W) of what they should be covered by"""
        areas = np.bincount(labels.ravel())
        numbers = np.flatnonzero(areas)
        numbers = numbers[numbers > 0]
        covered = np.bincount(labels.ravel(), other.ravel(), len(areas))
        intensity = np.bincount(labels.ravel(), frame.ravel(), len(areas))
        count = areas[numbers]
        return cls(numbers, count, covered[numbers] / count, intensity[numbers] / count)

    def pick(self, labels: NDArray[np.int32], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The pixels (H, W) of the chosen ones."""
        table = np.zeros(int(labels.max(initial=0)) + 1, np.bool_)
        table[self.numbers[chosen]] = True
        return table[labels]


def _attribute(
    mask: NDArray[np.bool_],
    due: NDArray[np.bool_],
    truth: NDArray[np.int32],
    found: NDArray[np.int32],
    nuclei: LabelledObjects,
    detections: LabelledObjects,
) -> dict[str, int]:
    """Wrong pixels by cause; they add up to all that are wrong."""
    missed, invented = nuclei.covered < HALF, detections.covered < HALF
    dim = nuclei.intensity < np.median(nuclei.intensity) if len(nuclei.areas) else missed
    alike = np.percentile(nuclei.intensity, ALIKE) if len(nuclei.areas) else math.inf
    like_nuclei = detections.intensity >= alike
    lacking, extra = due & ~mask, mask & ~due
    in_missed, in_dim = nuclei.pick(truth, missed), nuclei.pick(truth, missed & dim)
    in_invented, in_alike = detections.pick(found, invented), detections.pick(found, invented & like_nuclei)
    parts: dict[str, NDArray[Any]] = {
        "dim": lacking & in_dim,
        "bright": lacking & in_missed & ~in_dim,
        "unlabelled": extra & in_alike,
        "background": extra & in_invented & ~in_alike,
        "wide": extra & ~in_invented,
        "narrow": lacking & ~in_missed,
    }
    return {name: int(part.sum()) for name, part in parts.items()}


def merges(parts: NDArray[np.int32], wholes: NDArray[np.int32]) -> int:
    """How many objects of `wholes` hold more than half of each of two objects of `parts`, or of more."""
    areas = np.bincount(parts.ravel())
    both = (parts > 0) & (wholes > 0)
    pairs, shared = np.unique(np.stack([parts[both], wholes[both]]), axis=1, return_counts=True)
    held = pairs[1, shared > HALF * areas[pairs[0]]] if pairs.size else np.zeros(0, np.int64)
    return int((np.unique(held, return_counts=True)[1] > 1).sum())


def across(areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels across an object of so many pixels: the diameter of a disc as large."""
    return 2 * np.sqrt(areas / math.pi)


def _kept(labels: NDArray[np.int32], min_area: int) -> NDArray[np.int32]:
    return np.where((np.bincount(labels.ravel()) >= min_area)[labels], labels, 0)
