"""A convolution is int8 on both sides or on none: TensorRT has no convolution of float by int8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View


def defects(view: View) -> Iterator[str]:
    """Where the weight is int8, the input is, too."""
    for node in view.kind("Conv", "ConvTranspose"):
        if view.dequantizer(node.input[1]) is not None and view.dequantizer(node.input[0]) is None:
            yield f"{called(node)} has an int8 weight and the float input {node.input[0]}; quantise both or neither"
