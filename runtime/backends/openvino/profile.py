"""Profiles of models in OpenVINO: multiply-adds, which kernels run the convolutions, and how long these take.

Only multiply-adds of convolutions and matrix products are counted: they are what a roof is made of, and more than
99 % of the work of our students.
"""

from __future__ import annotations

from math import prod
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import EdgescopeError
from ...profiles import Kernel, LayerTime, Profile
from .library import load_openvino

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...artifact.artifact import Artifact
    from ...profiles import ConvolutionLayer

PRECISIONS = {"u8": "int8", "i8": "int8", "f32": "fp32"}  # as the runtime model of the CPU plugin calls them
CONVOLUTIONS = ("Convolution", "GroupConvolution", "Deconvolution")  # layer types of a runtime model
LEVELS = 256
MOST = 63  # of the codes of weights, as in our artefacts: products of larger ones are cut off where VNNI is missing
STEP = 0.01  # of the quantised values: any will do, for a convolution takes as long whatever its scales are


def profile(artifact: Artifact, config: Mapping[str, Any]) -> Profile:
    """Of an artefact; it is timed as a whole, without copies."""
    core = load_openvino().Core()
    model = core.read_model(artifact.payload("openvino_xml"), artifact.payload("openvino_bin"))
    try:
        compiled = core.compile_model(model, "CPU", dict(config))
    except RuntimeError as error:
        msg = f"OpenVINO cannot load {artifact.path} on CPU: {error}"
        raise EdgescopeError(msg) from error
    request = _request(compiled)

    def run() -> float:
        start = perf_counter_ns()
        request.infer(share_outputs=True)
        return (perf_counter_ns() - start) / 1e6

    return _profile(model, compiled, run, config)


def profile_layer(layer: ConvolutionLayer, precision: str, config: Mapping[str, Any]) -> Profile:
    """Of one layer; timed by OpenVINO's own counter of the convolution, without what comes before and after it."""
    model = build(layer, precision)
    compiled = load_openvino().Core().compile_model(model, "CPU", {**config, "PERF_COUNT": True})
    request = _request(compiled)

    def run() -> float:
        request.infer(share_outputs=True)
        nodes = [node for node in request.profiling_info if node.node_type in CONVOLUTIONS]
        return 1e3 * sum(node.real_time.total_seconds() for node in nodes)

    return _profile(model, compiled, run, config)


def layer_times(artifact: Artifact, config: Mapping[str, Any], repeats: int) -> tuple[LayerTime, ...]:
    """Of an artefact, by OpenVINO's own counters; what it did not execute, because it was joined, is left out."""
    core = load_openvino().Core()
    model = core.read_model(artifact.payload("openvino_xml"), artifact.payload("openvino_bin"))
    work = {op.get_friendly_name(): _multiply_adds(op) for op in model.get_ops()}
    compiled = core.compile_model(model, "CPU", {**config, "PERF_COUNT": True})
    layers = {op.get_friendly_name(): op for op in compiled.get_runtime_model().get_ordered_ops()}
    request = _request(compiled)
    took: dict[str, list[float]] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for run in range(repeats + 1):  # the first one fills the caches
        request.infer(share_outputs=True)
        for node in request.profiling_info if run else ():
            if str(node.status).endswith("EXECUTED"):
                took.setdefault(node.node_name, []).append(1e3 * node.real_time.total_seconds())
                kinds[node.node_name] = (node.node_type, node.exec_type)
    return tuple(
        LayerTime(name, *kinds[name], *_work_of(layers.get(name), work), median(samples))
        for name, samples in took.items()
    )


def _work_of(layer: Any, work: Mapping[str, int]) -> tuple[int, int]:
    """Multiply-adds of the operations that OpenVINO fused into one layer, and the number of elements of its output."""
    if layer is None:
        return 0, 0
    joined = str(layer.get_rt_info()["originalLayersNames"].astype(str)).split(",")
    return sum(work.get(name, 0) for name in joined), prod(layer.get_output_shape(0)) if layer.outputs() else 0


def build(layer: ConvolutionLayer, precision: str) -> Any:
    """An openvino.Model of the layer and a ReLU, float32 (1, C, side, side) in and out.

    For int8, what goes in and what comes out is quantised to 8 bits and the weights are 8 bits, as in our artefacts.
    """
    openvino, ops = load_openvino(), _ops()
    image = ops.parameter([1, layer.inputs, layer.side, layer.side], np.float32)
    padding = [layer.kernel // 2] * 2
    how: dict[str, Any] = {"strides": [1, 1], "pads_begin": padding, "pads_end": padding, "dilations": [1, 1]}
    convolve = ops.group_convolution if layer.groups > 1 else ops.convolution
    taken = _quantize(image, 1.0) if precision == "int8" else image
    result = ops.relu(convolve(taken, _weights(layer, precision), **how))
    if precision == "int8":
        result = _quantize(result, float(layer.inputs // layer.groups * layer.kernel**2))
    return openvino.Model([ops.result(result)], [image], layer.name)


def multiply_adds(model: Any) -> int:
    """Of all convolutions and matrix products in an openvino.Model of static shapes."""
    return sum(_multiply_adds(op) for op in model.get_ops())


def weights(model: Any) -> int:
    """Numbers in all convolutions and matrix products of an openvino.Model, without biases."""
    return sum(prod(op.get_input_shape(1)) for op in model.get_ops() if _multiply_adds(op))


def kernels(compiled: Any) -> tuple[Kernel, ...]:
    """What OpenVINO's CPU plugin runs each convolution with, by asking its runtime model."""
    layers = [op.get_rt_info() for op in compiled.get_runtime_model().get_ordered_ops()]
    return tuple(_kernel(layer) for layer in layers if layer["layerType"].astype(str) in CONVOLUTIONS)


def _kernel(layer: Any) -> Kernel:
    runs_in = str(layer["runtimePrecision"].astype(str))
    return Kernel(PRECISIONS.get(runs_in, runs_in), runs_in, layer["primitiveType"].astype(str).lower())


def _profile(model: Any, compiled: Any, run: Callable[[], float], config: Mapping[str, Any]) -> Profile:
    threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))
    settings = {name: str(value) for name, value in config.items()}
    return Profile(multiply_adds(model), kernels(compiled), threads, run, settings, weights(model))


def _request(compiled: Any) -> Any:
    """A request that was given pixels: what memory happens to hold may be numbers that are slow to multiply."""
    request = compiled.create_infer_request()
    pixels = request.get_input_tensor(0).data
    pixels[:] = np.random.default_rng(0).random(pixels.shape, np.float32)
    return request


def _ops() -> Any:
    load_openvino()
    from openvino import opset13

    return opset13


def _weights(layer: ConvolutionLayer, precision: str) -> Any:
    ops = _ops()
    inner = (layer.outputs // layer.groups, layer.inputs // layer.groups, layer.kernel, layer.kernel)
    shape = (layer.groups, *inner) if layer.groups > 1 else inner
    codes = np.random.default_rng(0).integers(-MOST, MOST + 1, shape)
    if precision == "fp32":
        return ops.constant((codes * STEP).astype(np.float32))
    scale = ops.constant(np.full((1,) * len(shape), STEP, np.float32))
    return ops.multiply(ops.convert(ops.constant(codes.astype(np.int8)), np.float32), scale)


def _quantize(value: Any, most: float) -> Any:
    """Round to 256 levels from 0 to `most`."""
    low, high = np.float32(0), np.float32(most)
    return _ops().fake_quantize(value, low, high, low, high, LEVELS)


def _multiply_adds(op: Any) -> int:
    """Every weight of a convolution meets every pixel of its output, every one of a transposed one of its input."""
    kind = op.get_type_name()
    if kind in ("Convolution", "GroupConvolution"):
        return prod(op.get_input_shape(1)) * _pixels(op.get_output_shape(0))
    if kind in ("ConvolutionBackpropData", "GroupConvolutionBackpropData"):
        return prod(op.get_input_shape(1)) * _pixels(op.get_input_shape(0))
    if kind == "MatMul":
        first = op.get_input_shape(0)
        return prod(op.get_output_shape(0)) * first[-2 if op.get_attributes()["transpose_a"] else -1]
    return 0


def _pixels(shape: Any) -> int:
    """(N, C, ...) to how many (N, ...) there are."""
    return shape[0] * prod(shape[2:])
