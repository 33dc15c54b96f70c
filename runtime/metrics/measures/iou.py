"""Intersection over union of the foreground."""

from __future__ import annotations

from .._counts import EMPTY, Counted
from .._overlap import iou_of

METRIC = Counted("iou", "IoU", f"IoU: TP / (TP + FP + FN) of pixels; {EMPTY}", iou_of)
