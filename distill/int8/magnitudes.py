"""How large the values of a flat student's tensors are on some images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.fx import Interpreter

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from torch import Tensor
    from torch.fx import GraphModule, Node

AT_ONCE = 8  # images in one pass


def largest(graph: GraphModule, images: Tensor, tensors: Collection[Node]) -> dict[Node, Tensor]:
    """The largest magnitude of each channel, (C,), of those tensors of ``graph``, each of shape (N, C, h, w).

    images : (N, C, h, w) float32
    """
    recorder = _Recorder(graph, tensors)
    with torch.no_grad():
        for batch in images.split(AT_ONCE):
            recorder.run(batch)
    return recorder.found


class _Recorder(Interpreter):
    def __init__(self, graph: GraphModule, tensors: Collection[Node]) -> None:
        super().__init__(graph)
        self.tensors = frozenset(tensors)
        self.found: dict[Node, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self.tensors:
            seen = value.abs().amax((0, 2, 3))
            self.found[n] = torch.maximum(self.found[n], seen) if n in self.found else seen
        return value
