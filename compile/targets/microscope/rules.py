"""Operators that an all-integer TFLite file has a form for; everything else would fall back to float, or fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import ModelView

INTEGER = frozenset(
    """
    Add AveragePool Clip Concat Constant Conv ConvTranspose DepthToSpace DequantizeLinear Div Flatten Gather Gemm
    GlobalAveragePool HardSigmoid HardSwish Identity LeakyRelu Max MaxPool Min Mul Neg Pad PRelu QuantizeLinear
    ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Sigmoid Slice SpaceToDepth Split Squeeze Sub Tanh
    Transpose Unsqueeze
    """.split()
)


def only_integer_operators(view: ModelView) -> Iterator[str]:
    """Every operator has an int8 kernel that keeps the student's accuracy."""
    for node in view.nodes:
        if node.op_type not in INTEGER:
            yield f"{called(node)} is a {node.op_type}, which int8 TFLite has no form for; use --precision fp16 or fp32"
