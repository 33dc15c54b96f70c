"""Single convolutions for OpenVINO, how many multiply-adds a model has, and in what precision OpenVINO runs it.

Only multiply-adds of convolutions and matrix products are counted: they are what a roof is made of, and more than
99 % of the work of our students.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from runtime.backends.openvino import load_openvino

if TYPE_CHECKING:
    from collections.abc import Sequence

Precision = Literal["int8", "fp32"]

INT8 = ("u8", "i8")  # as the runtime model of OpenVINO's CPU plugin calls them
CONVOLUTIONS = ("Convolution", "GroupConvolution", "Deconvolution")  # layer types of a runtime model
LEVELS = 256
STEP = 0.01  # of the quantised values: any will do, for a convolution takes as long whatever its scales are


@dataclass(frozen=True)
class Layer:
    """A convolution of stride 1 that keeps the size: kernel x kernel, on maps of side x side pixels.

    groups : 1, or the number of channels for a depthwise one
    """

    inputs: int
    outputs: int
    kernel: int
    side: int
    groups: int = 1

    @property
    def name(self) -> str:
        """E.g. "3x3, 64 to 64, 128x128"."""
        kind = "depthwise " if self.groups > 1 else ""
        return f"{kind}{self.kernel}x{self.kernel}, {self.inputs} to {self.outputs}, {self.side}x{self.side}"


LAYERS = (  # the 3x3 ones have as many multiply-adds each, 0.6 G
    Layer(64, 64, 3, 128),
    Layer(128, 128, 3, 64),
    Layer(256, 256, 3, 32),
    Layer(512, 512, 3, 16),
    Layer(128, 128, 1, 128),
    Layer(512, 512, 1, 32),
    Layer(256, 256, 3, 64, groups=256),
)


def build(layer: Layer, precision: Precision) -> Any:
    """An openvino.Model of the layer and a ReLU, float32 (1, C, side, side) in and out.

    For int8, what goes in and what comes out is quantised to 8 bits and the weights are 8 bits, as in our artefacts.
    """
    openvino = load_openvino()
    from openvino import opset13 as ops

    image = ops.parameter([1, layer.inputs, layer.side, layer.side], np.float32)
    padding = [layer.kernel // 2] * 2
    how = {"strides": [1, 1], "pads_begin": padding, "pads_end": padding, "dilations": [1, 1]}
    convolve = ops.group_convolution if layer.groups > 1 else ops.convolution
    taken = _quantize(image, 1.0) if precision == "int8" else image
    found = ops.relu(convolve(taken, _weights(layer, precision), **how))
    if precision == "int8":
        found = _quantize(found, float(layer.inputs // layer.groups * layer.kernel**2))
    return openvino.Model([ops.result(found)], [image], layer.name)


def _weights(layer: Layer, precision: Precision) -> Any:
    from openvino import opset13 as ops

    inner = (layer.outputs // layer.groups, layer.inputs // layer.groups, layer.kernel, layer.kernel)
    shape = (layer.groups, *inner) if layer.groups > 1 else inner
    codes = np.random.default_rng(0).integers(-127, 128, shape)
    if precision == "fp32":
        return ops.constant((codes * STEP).astype(np.float32))
    scale = ops.constant(np.full((1,) * len(shape), STEP, np.float32))
    return ops.multiply(ops.convert(ops.constant(codes.astype(np.int8)), np.float32), scale)


def _quantize(value: Any, most: float) -> Any:
    """Round to 256 levels from 0 to `most`."""
    from openvino import opset13 as ops

    low, high = np.float32(0), np.float32(most)
    return ops.fake_quantize(value, low, high, low, high, LEVELS)


def multiply_adds(model: Any) -> int:
    """Of all convolutions and matrix products in an openvino.Model of static shapes."""
    return sum(_multiply_adds(op) for op in model.get_ops())


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


@dataclass(frozen=True)
class Kernel:
    """What runs a convolution. precision : of its input, e.g. "u8"; name : of the kernel, e.g. "brgconv_avx512_i8"."""

    precision: str
    name: str


def kernels(compiled: Any) -> list[Kernel]:
    """What OpenVINO's CPU plugin runs each convolution with, by asking its runtime model."""
    layers = [op.get_rt_info() for op in compiled.get_runtime_model().get_ordered_ops()]
    return [
        Kernel(layer["runtimePrecision"].astype(str), layer["primitiveType"].astype(str).lower())
        for layer in layers
        if layer["layerType"].astype(str) in CONVOLUTIONS
    ]


def in_int8(found: Sequence[Kernel]) -> int:
    """How many of them run in 8 bits."""
    return sum(kernel.precision in INT8 for kernel in found)


def convolution_ms(request: Any) -> float:
    """Milliseconds that the convolutions alone took in the last run of a request whose model counts (PERF_COUNT)."""
    nodes = [node for node in request.profiling_info if node.node_type in CONVOLUTIONS]
    return 1e3 * sum(node.real_time.total_seconds() for node in nodes)
