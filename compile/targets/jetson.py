"""jetson -> TensorRT: a portable bundle. An engine runs only on the kind of device that built it, so none is in it.

The bundle holds the graph in the forms that TensorRT reads: typed in fp16 for TensorRT 10 and 11, in fp32 and
opset 17 for 8.x, and fp16 without int8 as the alternative that is sometimes faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compile import lint, second_opinion
from compile.half import to_float16
from compile.lowered import Lowered
from compile.opset17 import to_opset_17

if TYPE_CHECKING:
    import onnx

    from compile.export import QuantizedGraph

NOT_MEASURED = (
    "Validated on CPU by onnxruntime. The TensorRT engine is built on the device; it was neither built nor timed here."
)


@dataclass(frozen=True)
class Jetson:
    """NVIDIA Jetson boards (Orin, Thor)."""

    name: str = "jetson"

    def refuses(self, graph: QuantizedGraph) -> str | None:
        """Everything that can be exported is bundled; the device's own parser has the last word."""
        return None

    def lower(self, graph: QuantizedGraph) -> Lowered:
        """ONNX files by role: "onnx" is what onnxruntime checks on a CPU."""
        models = _models(graph)
        for name, (role, model) in models.items():
            lint.check(model, lint.TENSORRT_8 if role == "onnx" else lint.TENSORRT_10, f"model.{name}.onnx")
        files = {f"model.{name}.onnx": model.SerializeToString() for name, (_, model) in models.items()}
        opinion = second_opinion.ask(files)
        return Lowered(
            backend="tensorrt",
            files=files,
            payload={role: f"model.{name}.onnx" for name, (role, _) in models.items()},
            operators={**_operators(graph.sparse), "second_opinion": opinion},
            notes=(NOT_MEASURED, f"{opinion['said']}."),
        )


def _models(graph: QuantizedGraph) -> dict[str, tuple[str, onnx.ModelProto]]:
    """File stem to (role, model), those for today's boards first."""
    plain = graph.unquantized()
    if graph.precision == "fp32":
        return {"fp32": ("onnx", to_opset_17(plain))}
    half = {"fp16": ("onnx_fp16", to_float16(plain))}
    if not graph.quantized:
        return {**half, "fp32": ("onnx", to_opset_17(plain))}
    return {
        "int8-fp16": ("onnx_fp16_qdq", to_float16(graph.sparse)),
        **half,
        "int8-fp32": ("onnx", to_opset_17(graph.sparse)),
    }


def _operators(model: onnx.ModelProto) -> dict[str, Any]:
    """Count the convolutions whose input and weight are both rounded to int8 in the graph."""
    maker = {name: node.op_type for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    int8 = [node for node in convolutions if all(maker.get(name) == "DequantizeLinear" for name in node.input[:2])]
    narrow = sorted({node.name for node in convolutions} - {node.name for node in int8})
    return {
        "convolutions": len(convolutions),
        "int8_convolutions": len(int8),
        "float_convolutions": narrow if int8 else [],
        "measured": "Q/DQ nodes of the graph; TensorRT chooses its kernels on the device",
    }


TARGET = Jetson()
