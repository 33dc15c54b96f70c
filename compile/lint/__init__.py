"""What a backend refuses or silently gets wrong, said early, by node name and with the remedy.

A rule takes a ModelView and yields every breach in words. Those in rules.py hold for every graph; those of one target
are in its folder, and the target asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint import rules
from compile.lint.view import ModelView
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import onnx

    Rule = Callable[[ModelView], Iterator[str]]

EVERY: tuple[Rule, ...] = (
    rules.standard_operators,
    rules.static_shapes,
    rules.constant_scales,
    rules.no_zero_points,
    rules.pairs,
    rules.int8_weights,
    rules.float_biases,
    rules.one_scale_to_join,
)


def check(model: onnx.ModelProto, kept: Iterable[Rule], what: str) -> None:
    """InputError with every defect of a model; ``what`` is what the message calls it."""
    if breaches := list(dict.fromkeys(defects(model, kept))):
        msg = f"{what[0].upper()}{what[1:]} cannot be lowered: {'; '.join(breaches)}."
        raise InputError(msg)


def defects(model: onnx.ModelProto, kept: Iterable[Rule] = EVERY) -> Iterator[str]:
    """Every breach of the rules in words: node, what is wrong, what to do."""
    view = ModelView(model)
    for rule in kept:
        yield from rule(view)
