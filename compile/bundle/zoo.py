"""What lets the BioImage Model Zoo's own software run an artefact's student: an ONNX model, and a tile in and out.

The zoo knows neither OpenVINO nor TFLite, but it runs ONNX, with an onnxruntime that fuses quantise and dequantise
nodes to integer kernels. Those round otherwise than the reference: some probabilities of the bundled student move by
0.1. So the rounding is written out here in plain arithmetic, which every onnxruntime computes nearly alike.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compile.accuracy.verify import recorded, reference, upper_left
from runtime.frames.normalize import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from compile.export import QuantizedGraph

MODEL, TEST_INPUT, TEST_OUTPUT = "model.zoo.onnx", "test_input.npy", "test_output.npy"
CODES = (-128.0, 127.0)  # of activations, as float


@dataclass(frozen=True)
class ZooModel:
    """files : the ONNX model, and two arrays, float32 (1, 1, h, w) of raw intensities and (1, C, h, w) in [0, 1]."""

    opset: int
    files: Mapping[str, bytes]


def zoo_model(graph: QuantizedGraph) -> ZooModel:
    """The student with its rounding, a tile of the first frame it carries, and what the unoptimised model makes of it.

    The tile is a frame of its own here: its percentiles are its own, as the zoo's preprocessing takes them.
    """
    model = with_rounding_written_out(graph.reference)
    if graph.precision == "fp16":
        model = with_half_weights(model)
    frame = upper_left(recorded(graph.student)[0][0], graph.tile)
    tile = normalize(frame[0, 0], graph.student.spec.normalization)[None, None]
    arrays = {TEST_INPUT: frame.astype(np.float32), TEST_OUTPUT: reference(model)(tile)}
    files = {MODEL: model.SerializeToString(), **{name: _npy(array) for name, array in arrays.items()}}
    return ZooModel(model.opset_import[0].version, files)


def with_rounding_written_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a Q/DQ model that computes bit for bit the same without quantise and dequantise nodes.

    Weights stay int8 codes, cast and multiplied by their scales; a runtime does that once, when it loads the model.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    constants = {item.name: item for item in model.graph.initializer}
    nodes = [part for node in model.graph.node for part in _written_out(node, constants)]
    return _with_nodes(model, nodes, constants)


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a float model whose weights are stored in float16 and computed in float32."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    constants = {item.name: item for item in model.graph.initializer}
    casts = list(_half_weights(model.graph, constants))
    return _with_nodes(model, [*casts, *model.graph.node], constants)


def _written_out(node: onnx.NodeProto, constants: dict[str, TensorProto]) -> Iterator[onnx.NodeProto]:
    kind, (result, *_) = node.op_type, node.output
    if kind == "QuantizeLinear":
        source, scale = node.input[:2]
        for name, value in zip(("code_least", "code_greatest"), CODES, strict=True):
            constants[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        yield helper.make_node("Div", [source, scale], [f"{result}_steps"])
        yield helper.make_node("Round", [f"{result}_steps"], [f"{result}_rounded"])  # ties to even, as in Quantize
        yield helper.make_node("Clip", [f"{result}_rounded", "code_least", "code_greatest"], [result])
    elif kind == "DequantizeLinear" and node.input[0] in constants:
        codes, scale = node.input[:2]
        yield helper.make_node("Cast", [codes], [f"{result}_codes"], to=TensorProto.FLOAT)
        yield helper.make_node("Mul", [f"{result}_codes", _per_channel(codes, scale, constants)], [result])
    elif kind == "DequantizeLinear":
        yield helper.make_node("Mul", list(node.input[:2]), [result])
    else:
        yield node


def _per_channel(codes: str, scale: str, constants: dict[str, TensorProto]) -> str:
    """Name of the scales (O,) as a constant of shape (O, 1, 1, 1), or as many ones as the codes have axes."""
    axes = len(constants[codes].dims)
    name = f"{scale}_by_{axes}_axes"
    values = numpy_helper.to_array(constants[scale])
    constants[name] = numpy_helper.from_array(values.reshape(-1, *[1] * (axes - 1)), name)
    return name


def _half_weights(graph: onnx.GraphProto, constants: dict[str, TensorProto]) -> Iterator[onnx.NodeProto]:
    weights = {name for name, item in constants.items() if item.data_type == TensorProto.FLOAT and len(item.dims) > 1}
    for node in graph.node:
        node.input[:] = [f"{name}_float" if name in weights else name for name in node.input]
    for name in sorted(weights):
        halved = numpy_helper.to_array(constants[name]).astype(np.float16)
        constants[name] = numpy_helper.from_array(halved, name)
        yield helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT)


def _with_nodes(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], constants: Mapping[str, TensorProto]
) -> onnx.ModelProto:
    used = {name for node in nodes for name in node.input}
    kept = [item for name, item in constants.items() if name in used]
    graph = helper.make_graph(nodes, model.graph.name, model.graph.input, model.graph.output, kept)
    model.graph.CopyFrom(graph)
    onnx.checker.check_model(model, full_check=True)
    return model


def _npy(array: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
