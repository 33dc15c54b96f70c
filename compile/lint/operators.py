"""Operators that no backend shares: other vendors' domains, control flow, and integer forms of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx.defs

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View

STANDARD = ("", "ai.onnx")
# They compute in integers with scales of their own; explicit quantisation is float operators between Q/DQ pairs.
INTEGER = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")
CONTROL_FLOW = ("If", "Loop", "Scan")


def defects(view: View) -> Iterator[str]:
    """Every operator is ONNX's own, and computes the same for every tile."""
    opset = view.opset()
    for node in view.nodes:
        if node.domain not in STANDARD:
            yield (
                f"{called(node)} is a {node.op_type} of the domain {node.domain!r}, which no backend knows; "
                "build it from standard operators"
            )
        elif node.op_type in INTEGER or node.op_type.startswith("QLinear"):
            yield f"{called(node)} is a {node.op_type}; export Q/DQ pairs around a float operator instead"
        elif node.op_type in CONTROL_FLOW:
            yield f"{called(node)} is control flow ({node.op_type}); trace the student for one size of tile"
        elif not onnx.defs.has(node.op_type, opset):
            yield f"{called(node)} is a {node.op_type}, which opset {opset} does not have; use standard operators"
