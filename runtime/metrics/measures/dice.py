"""Dice of the foreground: the share of pixels on which mask and labels agree."""

from __future__ import annotations

from .._counts import EMPTY, Counted
from .._overlap import dice_of

METRIC = Counted("dice", "Dice", f"Dice: 2 TP / (2 TP + FP + FN) of pixels; {EMPTY}", dice_of)
