"""The file for TensorRT 8.5 and 8.6: at most opset 17, and no operator that their parsers lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import DEQUANTIZE, QUANTIZE, called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View

LAST = 17
REMEDIES = {
    "HardSwish": "write it as Mul(x, HardSigmoid(x))",
    "Gelu": "write it with Erf",
    "Mish": "write it as Mul(x, Tanh(Softplus(x)))",
    "GroupNormalization": "write it with InstanceNormalization",
    "CastLike": "write it as Cast",
    "IsInf": "build it from other operators",
    "Hardmax": "build it from other operators",
}


def defects(view: View) -> Iterator[str]:
    """Opset 17 or older, and only what TensorRT 8 has a form for."""
    if view.opset() > LAST:
        yield f"the model is written in opset {view.opset()}; TensorRT 8 reads opset {LAST} at most"
    for node in view.nodes:
        if remedy := REMEDIES.get(node.op_type):
            yield f"{called(node)} is a {node.op_type}, which TensorRT 8 lacks; {remedy}"
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        scale = view.scale(node)
        if scale is not None and scale.dtype != "float32":
            yield f"{called(node)} has a scale of {scale.dtype}; TensorRT 8 reads float32 scales alone"
