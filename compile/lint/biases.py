"""Biases: float constants. TensorRT refuses an int32 bias through DequantizeLinear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View


def defects(view: View) -> Iterator[str]:
    """Every bias of a convolution is a float constant."""
    for node in view.kind("Conv", "ConvTranspose"):
        maker = view.maker.get(node.input[2]) if len(node.input) > 2 else None
        if maker is not None and maker.op_type != "Constant":
            yield f"the bias of {called(node)} comes through {maker.op_type}; keep it a float constant"
