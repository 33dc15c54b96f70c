"""F1 of objects at IoU 0.5."""

from __future__ import annotations

from .._counts import MATCHED, Counted
from .._overlap import dice_of

METRIC = Counted(
    "object_f1",
    "object F1",
    f"Object F1: 2 TP / (2 TP + FP + FN) of objects; {MATCHED}",
    dice_of,
    objects=True,
    decimals=3,
)
