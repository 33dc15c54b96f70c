"""Average precision of objects at IoU 0.75: as AP 0.5, of outlines that are nearly right."""

from __future__ import annotations

from .._counts import Counted
from .._overlap import iou_of

METRIC = Counted(
    "ap75",
    "AP 0.75",
    "AP 0.75: as AP 0.5, but objects match at IoU > 0.75",
    iou_of,
    objects=True,
    decimals=3,
    iou=0.75,
)
