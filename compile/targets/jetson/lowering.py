"""The graph in the forms that TensorRT reads.

Typed in fp16 for TensorRT 10 and 11, in fp32 and opset 17 for 8.x, and fp16 without int8 as the alternative that is
sometimes faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compile import lint
from compile.target import Lowered
from compile.targets.jetson import boards, second_opinion
from compile.targets.jetson.half import to_float16
from compile.targets.jetson.opset17 import to_opset_17
from compile.targets.jetson.placement import rounded_for_tensorrt
from compile.targets.jetson.rules import TENSORRT_8, TENSORRT_10
from runtime.artifact.manifest import Operators

if TYPE_CHECKING:
    import onnx

    from compile.export import QuantizedGraph

NOT_MEASURED = (
    "Validated on CPU by onnxruntime. The TensorRT engine is built on the device; it was neither built nor timed here."
)


def lower(graph: QuantizedGraph, device: str | None) -> Lowered:
    """ONNX files by role: "onnx" is what onnxruntime checks on a CPU. device : a board of boards.SHEETS, or None."""
    rounded = rounded_for_tensorrt(graph)
    models = _models(graph, rounded)
    for name, (role, model) in models.items():
        lint.check(model, TENSORRT_8 if role == "onnx" else TENSORRT_10, f"model.{name}.onnx")
    files = {f"model.{name}.onnx": model.SerializeToString() for name, (_, model) in models.items()}
    opinion = second_opinion.ask(files)
    lowered = Lowered(
        backend="tensorrt",
        files=files,
        payload={role: f"model.{name}.onnx" for name, (role, _) in models.items()},
        operators=_operators(rounded, opinion),
        notes=(NOT_MEASURED, f"{opinion['said']}."),
        variants={"fp16": next(iter(models.values()))[0]} if len(models) > 1 else {},
    )
    return lowered if device is None else boards.expect(lowered, graph, device)


def _models(graph: QuantizedGraph, rounded: onnx.ModelProto) -> dict[str, tuple[str, onnx.ModelProto]]:
    """File stem to (role, model), those for today's boards first."""
    plain = graph.unquantized()
    if graph.precision == "fp32":
        return {"fp32": ("onnx", to_opset_17(plain))}
    half = {"fp16": ("onnx_fp16", to_float16(plain))}
    if not graph.quantized:
        return {**half, "fp32": ("onnx", to_opset_17(plain))}
    return {
        "int8-fp16": ("onnx_fp16_qdq", to_float16(rounded)),
        **half,
        "int8-fp32": ("onnx", to_opset_17(rounded)),
    }


def _operators(model: onnx.ModelProto, opinion: dict[str, Any]) -> Operators:
    """Count the convolutions whose input and weight are both rounded to int8 in the graph."""
    maker = {name: node.op_type for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    int8 = [node for node in convolutions if all(maker.get(name) == "DequantizeLinear" for name in node.input[:2])]
    narrow = sorted({node.name for node in convolutions} - {node.name for node in int8})
    return Operators(
        convolutions=len(convolutions),
        int8_convolutions=len(int8),
        measured="Q/DQ nodes of the graph; TensorRT chooses its kernels on the device",
        details={"float_convolutions": narrow if int8 else [], "second_opinion": opinion},
    )
