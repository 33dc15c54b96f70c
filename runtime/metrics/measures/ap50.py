"""Average precision of objects at IoU 0.5, as in the Data Science Bowl 2018."""

from __future__ import annotations

from .._counts import MATCHED, Counted
from .._overlap import iou_of

METRIC = Counted(
    "ap50",
    "AP 0.5",
    f"AP 0.5: TP / (TP + FP + FN) of objects; {MATCHED}; an image without objects and detections scores 1",
    iou_of,
    objects=True,
    decimals=3,
)
