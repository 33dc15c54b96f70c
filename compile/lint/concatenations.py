"""Concatenations: one scale for all inputs, so that codes can be laid side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View


def unequal(view: View) -> Iterator[str]:
    """The quantised inputs of a concatenation have one scale."""
    for node in view.kind("Concat"):
        pairs = [pair for name in node.input if (pair := view.dequantizer(name)) is not None]
        found = {float(scale.flat[0]) for pair in pairs if (scale := view.scale(pair)) is not None}
        if len(found) > 1:
            yield f"the inputs of {called(node)} have the scales {sorted(found)}; a concatenation needs one for all"


def mixed(view: View) -> Iterator[str]:
    """A concatenation has all of its inputs quantised or none: TensorRT lays codes beside codes."""
    for node in view.kind("Concat"):
        rounded = [view.dequantizer(name) is not None for name in node.input]
        if any(rounded) and not all(rounded):
            loose = ", ".join(name for name, is_rounded in zip(node.input, rounded, strict=True) if not is_rounded)
            yield f"{called(node)} joins quantised inputs with float ones ({loose}); quantise all of them or none"
