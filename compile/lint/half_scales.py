"""Scales that fp16 holds exactly: an engine typed in half precision stores them so, and other codes would come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compile.lint.view import DEQUANTIZE, QUANTIZE, called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View

SMALLEST = 2.0**-14  # below, fp16 is subnormal, and GPUs may take it for 0


def defects(view: View) -> Iterator[str]:
    """Every scale is a normal number of fp16."""
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        scale = view.scale(node)
        if scale is None:
            continue
        wide = scale.astype(np.float64)
        wrong = (wide > 0) & np.isfinite(wide) & ((_half(wide) != wide) | (wide < SMALLEST))  # others: scales.py
        if wrong.any():
            value = float(wide[wrong].flat[0])
            yield (
                f"the scale {value:.8g} of {called(node)} is no normal number of fp16 (nearest: {_half(value):.8g}); "
                "train the quantised phase, which rounds scales up to such numbers"
            )


def _half(value: np.ndarray | float) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(value).astype(np.float16).astype(np.float64)
