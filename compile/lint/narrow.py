"""Narrow convolutions stay float: TensorRT computes int8 in blocks of channels, most of them empty here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View

NARROW = 16  # channels; fewer run slower in int8 than in float


def defects(view: View) -> Iterator[str]:
    """No convolution of fewer than 16 channels has an int8 weight, but for depthwise ones."""
    for node in view.kind("Conv", "ConvTranspose"):
        if view.groups(node) > 1 or view.dequantizer(node.input[1]) is None:
            continue
        shape = view.shape(view.weight_codes(node))
        if shape is not None and min(shape[:2]) < NARROW:
            width = min(shape[:2])
            yield f"{called(node)} has {width} channels and an int8 weight; under {NARROW} channels keep it float"
