"""Convolutions that OpenVINO's CPU plugin would compute wrongly: dense, padded, int8, and of signed input.

compile.targets.intel.unsigned rewrites those it knows, and says what goes wrong without it. This rule looks at the
result as OpenVINO will, for what slipped through: codes that come through another operator, padding by `auto_pad`, a
weight or input that is not where the rewriting looks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compile.lint.view import DEQUANTIZE, QUANTIZE, attribute, called

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from compile.lint.view import ModelView

NON_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid")
# Rounding is moved through these by OpenVINO's own passes, and what comes out has the sign of what goes in.
SEEN_THROUGH = ("Resize", "MaxPool", "Pad", "Reshape", "Transpose", "Slice", "Identity", QUANTIZE, DEQUANTIZE)


def no_signed_convolution(view: ModelView) -> Iterator[str]:
    """No dense padded int8 convolution reads signed codes."""
    for node in view.kind("Conv"):
        if view.groups(node) > 1 or not _is_padded(node) or view.dequantizer(node.input[1]) is None:
            continue
        if _is_signed(view, node.input[0]):
            yield (
                f"{called(node)} is a padded int8 convolution of signed codes, which OpenVINO's CPU plugin computes "
                "wrongly; put a Relu before it, or use --precision fp16"
            )


def _is_padded(node: onnx.NodeProto) -> bool:
    same = attribute(node, "auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER")
    return same or any(attribute(node, "pads", ()))


def _is_signed(view: ModelView, name: str) -> bool:
    """Whether a tensor comes from int8 codes that may be negative."""
    rounded = False
    while (node := view.maker.get(name)) is not None:
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            zero = view.constant(node.input[2]) if len(node.input) > 2 else None
            if zero is not None and zero.dtype == np.uint8:
                return False
            rounded = True
        if node.op_type in NON_NEGATIVE:
            return False
        if node.op_type == "Concat":  # stored as signed, also where no part is ever negative
            return rounded or any(view.dequantizer(part) is not None for part in node.input)
        if node.op_type not in SEEN_THROUGH:
            return rounded
        name = node.input[0]
    return False  # the image, in [0, 1]
