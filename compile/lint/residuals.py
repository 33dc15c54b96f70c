"""Residual sums: the skip alone is quantised. TensorRT fuses convolution, sum and rounding only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View


def defects(view: View) -> Iterator[str]:
    """Of the two sides of a sum at most one is quantised, and that is the skip."""
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


def _skip(view: View, sides: list[str]) -> str | None:
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


def _ancestors(view: View, name: str) -> set[str]:
    """Every computed tensor that ``name`` depends on, itself left out."""
    found: set[str] = set()
    stack = [name]
    while stack:
        node = view.maker.get(stack.pop())
        fresh = set(node.input) - found if node is not None else set()
        found |= fresh
        stack += fresh
    return found
