"""intel: Intel and other x86-64 CPUs with OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.target import Served, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compile.export import QuantizedGraph
    from compile.target import Lowered, Options

FILES = {"openvino_xml": "model.xml", "openvino_bin": "model.bin"}
UNPINNED = "Triton's OpenVINO backend has no precision hint: a CPU with bf16 may use that for what is not int8."


class Intel(Target):
    """Everything that can be exported runs in OpenVINO."""

    name = "intel"
    where = "Intel and other x86-64 CPUs with OpenVINO"
    served: Mapping[str, Served] = {
        "ovms": Served(FILES, "openvino", hint=True),
        "triton": Served(FILES, "openvino", hint=True, note=UNPINNED),
        "czann": Served({}, "onnxruntime"),
    }

    def lower(self, graph: QuantizedGraph, options: Options) -> Lowered:
        """model.xml and model.bin; fp16 stores the weights in half precision (CPUs compute them in float32)."""
        from compile.targets.intel.lowering import lower

        return lower(graph, FILES)


TARGET = Intel()
