"""A student as a .tflite file: all-integer, with exactly the scales that training learnt; nothing is calibrated.

The float student is converted first. Each of its tensors is then recognised in the student's graph by its values
on a real probe, and takes over that tensor's scale.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from compile.export import WithSigmoid
from compile.target import Lowered
from compile.targets.microscope.metadata import described
from compile.targets.microscope.quiet import quiet
from compile.targets.microscope.scales import calibration, check_codes
from runtime.artifact.manifest import Operators

if TYPE_CHECKING:
    from compile.export import QuantizedGraph

PAYLOAD = "model.tflite"


def lower(graph: QuantizedGraph) -> Lowered:
    """model.tflite, NHWC, float32 at both ends."""
    with quiet():
        model = _convert(graph)
        if graph.quantized:
            model = _quantize(model, graph)
        elif graph.precision == "fp16":
            model = _halve(model)
        operators = _operators(model)
        model = described(model, graph)
    return Lowered(
        backend="tflite", files={PAYLOAD: model}, payload={"tflite": PAYLOAD}, operators=operators, layout="NHWC"
    )


def _convert(graph: QuantizedGraph) -> bytes:
    """The float model, channels last."""
    import litert_torch

    student = WithSigmoid(graph.rounded_weights()).eval()
    channels_last = litert_torch.to_channel_last_io(student, args=[0], outputs=[0])
    converted = litert_torch.convert(channels_last, (torch.zeros(1, *graph.tile, 1),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PAYLOAD
        converted.export(str(path))
        return path.read_bytes()


def _quantize(model: bytes, graph: QuantizedGraph) -> bytes:
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.qtyping import TFLOperationName

    worker = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        worker.update_quantization_recipe(".*", edge, algorithm_key="no_quantize")
    told = calibration(model, graph)
    for outputs in told.floats:
        scope = "".join(f"{name};" for name in outputs)  # what the quantiser calls an operator
        worker.update_quantization_recipe(
            f"^{re.escape(scope)}$", TFLOperationName.ALL_SUPPORTED, algorithm_key="no_quantize"
        )
    ranges: Any = told.ranges
    result: Any = worker.quantize(ranges, enable_progress_report=False)
    quantized = bytes(result.quantized_model)
    check_codes(model, quantized)
    return quantized


def _halve(model: bytes) -> bytes:
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.qtyping import (
        ComputePrecision,
        OpQuantizationConfig,
        TensorDataType,
        TensorQuantizationConfig,
        TFLOperationName,
    )

    half = OpQuantizationConfig(
        weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
        compute_precision=ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    worker = quantizer.Quantizer(model)
    weighted = (TFLOperationName.CONV_2D, TFLOperationName.DEPTHWISE_CONV_2D, TFLOperationName.FULLY_CONNECTED)
    for operation in weighted:
        worker.update_quantization_recipe(".*", operation, half, algorithm_key="float_casting")
    result: Any = worker.quantize(enable_progress_report=False)
    return bytes(result.quantized_model)


def _operators(model: bytes) -> Operators:
    """Walk the file's operators: how many convolutions there are, how many read and write int8, and what is float."""
    from compile.targets.microscope.graph import operators

    every = list(operators(model))
    convolutions = [op for op in every if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    edges = ("QUANTIZE", "DEQUANTIZE")
    floats = sorted({op.name for op in every if "float32" in op.dtypes and op.name not in edges})
    return Operators(
        convolutions=len(convolutions),
        int8_convolutions=sum(op.dtypes == {"int8"} for op in convolutions),
        measured="operators of the .tflite file",
        details={"operators": len(every), "float_operators": floats},
    )
