"""What a target makes of a graph: files, and what the manifest must say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime.manifest import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compile.export import QuantizedGraph


@dataclass(frozen=True)
class Lowered:
    """Files of a payload.

    payload : role to file name (see runtime.backends); layout : "NCHW" or "NHWC" of both tensors
    operators : how many convolutions there are, how many of them run in int8, and who says so
    """

    backend: str
    files: Mapping[str, bytes]
    payload: Mapping[str, str]
    operators: Mapping[str, Any]
    layout: str = "NCHW"
    hints: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def tensors(self, graph: QuantizedGraph) -> tuple[TensorSpec, TensorSpec]:
        """Input and output as the manifest describes them."""
        outputs = graph.student.spec.outputs
        names = ("image", "probability")
        pairs = zip(names, (("nucleus",), outputs), strict=True)
        image, result = (
            TensorSpec(name, self._shape(graph, meaning), "float32", self.layout, meaning) for name, meaning in pairs
        )
        return image, result

    def _shape(self, graph: QuantizedGraph, meaning: tuple[str, ...]) -> tuple[int, ...]:
        height, width = graph.tile
        return (1, len(meaning), height, width) if self.layout == "NCHW" else (1, height, width, len(meaning))
