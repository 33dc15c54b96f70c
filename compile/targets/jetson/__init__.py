"""jetson: NVIDIA Jetson boards (Orin, Thor) with TensorRT.

A portable bundle. An engine runs only on the kind of device that built it, so none is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.target import Option, Served, Target
from compile.targets.jetson.sheets import SHEETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compile.export import QuantizedGraph
    from compile.target import Lowered, Options


class JetsonTarget(Target):
    """Everything that can be exported is bundled; the device's own parser has the last word."""

    name = "jetson"
    where = "NVIDIA Jetson with TensorRT"
    options = (Option("device", f"the board: {', '.join(SHEETS)}", tuple(SHEETS)),)
    served: Mapping[str, Served] = {"triton": Served({"onnx": "model.onnx"}, "onnxruntime")}

    def lower(self, graph: QuantizedGraph, options: Options) -> Lowered:
        """ONNX files by role: "onnx" is what onnxruntime checks on a CPU."""
        from compile.targets.jetson.lowering import lower

        (device,) = options.get("device", (None,))
        return lower(graph, device)


TARGET = JetsonTarget()
