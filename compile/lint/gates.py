"""Squeeze-excite gates: the product of a tensor and its gate is computed in float.

TensorRT fuses no int8 product; quantised inputs would be converted back and forth around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from compile.lint.view import View

GATES = ("Sigmoid", "HardSigmoid")


def defects(view: View) -> Iterator[str]:
    """Neither a gate nor what it gates is quantised."""
    for node in view.kind("Mul"):
        rounded = [name for name in node.input if view.dequantizer(name) is not None]
        if rounded and _is_gate(view, node):
            yield f"the squeeze-excite product {called(node)} has the quantised input {rounded[0]}; keep both in float"


def _is_gate(view: View, product: onnx.NodeProto) -> bool:
    """Whether one side is a sigmoid of something other than the other side, as it is in SiLU and hard-swish."""
    for gate, gated in (product.input, product.input[::-1]):
        maker = view.maker.get(view.source(gate))
        if maker is not None and maker.op_type in GATES and view.source(maker.input[0]) != view.source(gated):
            return True
    return False
