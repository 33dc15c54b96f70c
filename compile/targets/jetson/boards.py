"""What is expected on the Jetson board that a bundle is for, of memory and precision.

Nothing here was measured on a board. What a board has is in sheets.py; memory is an estimate from the graph; that int8
may or may not pay is from what others published. The device has the last word: there both precisions are built and
timed (runtime.backends.tensorrt.choice).
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from compile.targets.jetson.sheets import SHEETS
from runtime.artifact.manifest import Board
from runtime.backends.tensorrt.builder import COPIES, LEAST_WORKSPACE_MB, OVERHEAD_MB, WORKSPACE_MB

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from compile.export import QuantizedGraph
    from compile.target import Lowered
    from compile.targets.jetson.sheets import Sheet

CONTEXT_MB = 600  # of a CUDA context with TensorRT's libraries; as reported for Orin
ALIVE = 3  # of the largest tensors at a time: what a layer reads, what it writes, and a skip
FREE_SHARE = 0.7  # of the memory; the rest is for Linux and its desktop
FEW_CHANNELS = 32  # a convolution between fewer channels leaves int8 tensor cores idle
FEW_SHARE = 0.5  # of the convolutions


def expect(lowered: Lowered, graph: QuantizedGraph, device: str) -> Lowered:
    """The same with what is expected on a board. device : a key of SHEETS"""
    network_mb = max(len(lowered.files[name]) for name in lowered.payload.values()) / 2**20
    board = _board(device, network_mb, graph)
    return replace(lowered, board=board, notes=(*lowered.notes, *_notes(board, graph)))


def _board(device: str, network_mb: float, graph: QuantizedGraph) -> Board:
    sheet = SHEETS[device]
    return Board(
        name=device,
        words=sheet.words,
        sm=sheet.sm,
        memory_gb=sheet.memory_gb,
        build_mb=round(OVERHEAD_MB + COPIES * network_mb + WORKSPACE_MB),
        run_mb=round(CONTEXT_MB + 2 * network_mb + _activations_mb(graph.reference)),
        software=sheet.software,
        precision=_precision(sheet, graph),
    )


def _precision(sheet: Sheet, graph: QuantizedGraph) -> str:
    if not graph.quantized:
        return f"{graph.precision}: the bundle holds nothing else"
    few, count = _narrow(graph.reference)
    if not sheet.int8_pays:
        return f"fp16, for int8 is not expected to pay: the board is {sheet.compute}"
    if few > FEW_SHARE * count:
        return (
            f"fp16, for int8 is not expected to pay: {few} of {count} convolutions are between fewer than "
            f"{FEW_CHANNELS} channels"
        )
    return (
        "int8 or fp16, which only the device can tell: published int8 networks were up to 1.6 times as fast as fp16 on "
        f"Orin, and some slower; {sheet.compute}"
    )


def _notes(board: Board, graph: QuantizedGraph) -> Iterator[str]:
    yield (
        f"For {board.name} (SM {board.sm}, {board.memory_gb} GB or more; {board.software}): building an engine is "
        f"expected to take about {board.build_mb} MB of memory, and running it {board.run_mb} MB. That is an estimate."
    )
    yield f"Expected precision on {board.name}: {board.precision}. The device builds and times both."
    usable_mb = FREE_SHARE * 1024 * board.memory_gb
    least_mb = board.build_mb - WORKSPACE_MB + LEAST_WORKSPACE_MB
    if max(least_mb, board.run_mb) > usable_mb:
        yield (
            f"Warning: that is more than the {usable_mb:.0f} MB that are usually free on {board.name}; compile with a "
            f"smaller --tile than {graph.tile[0]}x{graph.tile[1]}."
        )


def _activations_mb(model: onnx.ModelProto) -> float:
    """Megabytes of the tensors that are alive at a time, in fp32, as a run without int8 needs them."""
    import onnx.shape_inference

    inferred = onnx.shape_inference.infer_shapes(model)
    sizes = (_elements(value) for value in (*inferred.graph.value_info, *inferred.graph.output))
    return 4 * ALIVE * max(sizes, default=0) / 2**20


def _elements(value: Any) -> int:
    return prod(axis.dim_value for axis in value.type.tensor_type.shape.dim)


def _narrow(model: onnx.ModelProto) -> tuple[int, int]:
    """How many convolutions are between fewer than FEW_CHANNELS channels, and how many there are."""
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    source = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    weights = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    found = [shapes.get(source.get(name, name), ()) for name in weights]
    return sum(min(shape[:2], default=0) < FEW_CHANNELS for shape in found), len(found)
