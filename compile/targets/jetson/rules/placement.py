"""Where TensorRT wants its Q/DQ pairs, so that it fuses rounding into convolutions and computes nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called
from compile.targets.jetson.placement import NARROW

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from compile.lint.view import ModelView

GATES = ("Sigmoid", "HardSigmoid")


def concatenations(view: ModelView) -> Iterator[str]:
    """All inputs of a concatenation are quantised, or none: TensorRT concatenates int8 codes."""
    for node in view.kind("Concat"):
        rounded = [view.dequantizer(name) is not None for name in node.input]
        if any(rounded) and not all(rounded):
            loose = ", ".join(name for name, is_rounded in zip(node.input, rounded, strict=True) if not is_rounded)
            yield f"{called(node)} joins quantised inputs with float ones ({loose}); quantise all of them or none"


def narrow(view: ModelView) -> Iterator[str]:
    """No convolution of fewer than NARROW channels has an int8 weight, but for depthwise ones.

    TensorRT computes int8 in blocks of channels, most of them empty here.
    """
    for node in view.kind("Conv", "ConvTranspose"):
        if view.groups(node) > 1 or view.dequantizer(node.input[1]) is None:
            continue
        shape = view.shape(view.weight_codes(node))
        if shape is not None and min(shape[:2]) < NARROW:
            width = min(shape[:2])
            yield f"{called(node)} has {width} channels and an int8 weight; under {NARROW} channels keep it float"


def both_or_none(view: ModelView) -> Iterator[str]:
    """Where a convolution's weight is int8, its input is, too: TensorRT has no convolution of float by int8."""
    for node in view.kind("Conv", "ConvTranspose"):
        if view.dequantizer(node.input[1]) is not None and view.dequantizer(node.input[0]) is None:
            yield f"{called(node)} has an int8 weight and the float input {node.input[0]}; quantise both or neither"


def gates(view: ModelView) -> Iterator[str]:
    """The product of a tensor and its squeeze-excite gate is computed in float.

    TensorRT fuses no int8 product; quantised inputs would be converted back and forth around it.
    """
    for node in view.kind("Mul"):
        rounded = [name for name in node.input if view.dequantizer(name) is not None]
        if rounded and _is_gate(view, node):
            yield f"the squeeze-excite product {called(node)} has the quantised input {rounded[0]}; keep both in float"


def _is_gate(view: ModelView, product: onnx.NodeProto) -> bool:
    """Whether one side is a sigmoid of something other than the other side, as it is in SiLU and hard-swish."""
    for gate, gated in (product.input, product.input[::-1]):
        maker = view.maker.get(view.source(gate))
        if maker is not None and maker.op_type in GATES and view.source(maker.input[0]) != view.source(gated):
            return True
    return False


def residuals(view: ModelView) -> Iterator[str]:
    """Of the two sides of a residual sum at most one is quantised, and that is the skip.

    TensorRT fuses convolution, sum and rounding only then.
    """
    for node in view.kind("Add"):
        sides = list(node.input)
        if len(sides) != 2 or any(view.shape(name) is not None for name in sides):
            continue
        rounded = [name for name in sides if view.dequantizer(name) is not None]
        skip = _skip(view, sides)
        if len(rounded) == 2:
            yield f"both inputs of the residual sum {called(node)} are quantised; quantise the skip alone"
        elif skip is not None and rounded and rounded[0] != skip:
            yield f"the new branch of the residual sum {called(node)} is quantised; quantise the skip ({skip}) instead"


def _skip(view: ModelView, sides: list[str]) -> str | None:
    """The side that is nearer to where the two part: its own source, or what its one convolution reads."""
    for side, other in (sides, sides[::-1]):
        above = _ancestors(view, other)
        if view.source(side) in above:
            return side
    for side, other in (sides, sides[::-1]):
        maker = view.maker.get(view.source(side))
        if maker is not None and maker.op_type == "Conv" and view.source(maker.input[0]) in _ancestors(view, other):
            return side
    return None


def _ancestors(view: ModelView, name: str) -> set[str]:
    """Every computed tensor that ``name`` depends on, itself left out."""
    found: set[str] = set()
    stack = [name]
    while stack:
        node = view.maker.get(stack.pop())
        fresh = set(node.input) - found if node is not None else set()
        found |= fresh
        stack += fresh
    return found
