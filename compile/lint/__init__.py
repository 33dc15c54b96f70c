"""What the strictest backend refuses or silently gets wrong, said early, by node name and with the remedy.

Each file beside this one is one rule: `defects(view)` yields every breach in words. Which rules a graph must keep
depends on who reads it:

- ``EVERY``: the graph that OpenVINO, onnxruntime and (by its scales) TFLite get.
- ``TENSORRT``: where TensorRT wants its Q/DQ pairs. The graph for TensorRT keeps these too, whoever asked for it.
- ``TENSORRT_10`` and ``TENSORRT_8``: the files of a jetson bundle, typed in fp16 or in opset 17.
- ``TFLITE``: the operators that an all-integer TFLite file has a form for.
- ``OPENVINO``: the graph that is handed to OpenVINO, whose signed convolutions must be gone (compile.unsigned).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint import (
    biases,
    concatenations,
    gates,
    half_scales,
    narrow,
    openvino_signed,
    operators,
    opset_8,
    opset_10,
    pairs,
    residuals,
    scales,
    shapes,
    tensorrt_operators,
    tflite_operators,
    weight_only,
    weights,
    zero_points,
)
from compile.lint.view import View
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import onnx

    from compile.export import QuantizedGraph

    Rule = Callable[[View], Iterator[str]]

EVERY: tuple[Rule, ...] = (
    operators.defects,
    shapes.defects,
    scales.defects,
    zero_points.defects,
    pairs.defects,
    weights.defects,
    biases.defects,
    concatenations.unequal,
)
TENSORRT: tuple[Rule, ...] = (
    *EVERY,
    concatenations.mixed,
    residuals.defects,
    gates.defects,
    narrow.defects,
    weight_only.defects,
)
TENSORRT_10: tuple[Rule, ...] = (*TENSORRT, tensorrt_operators.defects, half_scales.defects, opset_10.defects)
TENSORRT_8: tuple[Rule, ...] = (*TENSORRT, tensorrt_operators.defects, opset_8.defects)
TFLITE: tuple[Rule, ...] = (tflite_operators.defects,)
OPENVINO: tuple[Rule, ...] = (openvino_signed.defects,)


def lint(graph: QuantizedGraph) -> None:
    """InputError with every defect of the graphs that are to be lowered."""
    found = list(defects(graph.reference))
    if graph.sparse is not graph.reference:
        found += defects(graph.sparse, TENSORRT)
    _raise(f"the graph of {graph.student.spec.name}", found)


def check(model: onnx.ModelProto, rules: Iterable[Rule], what: str) -> None:
    """InputError with every defect of one model; ``what`` is what the message calls it."""
    _raise(what, list(defects(model, rules)))


def defects(model: onnx.ModelProto, rules: Iterable[Rule] = EVERY) -> Iterator[str]:
    """Every breach of ``rules`` in words: node, what is wrong, what to do."""
    view = View(model)
    for rule in rules:
        yield from rule(view)


def _raise(what: str, found: list[str]) -> None:
    if found:
        msg = f"{what[0].upper()}{what[1:]} cannot be lowered: {'; '.join(dict.fromkeys(found))}."
        raise InputError(msg)
