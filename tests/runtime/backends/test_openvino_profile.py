"""What OpenVINO tells about a model: multiply-adds that can be counted by hand, and what really ran in 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtime.backends.openvino import load_openvino, profile, settings
from runtime.profiles import ConvolutionLayer

openvino = pytest.importorskip("openvino")

TINY = (ConvolutionLayer(32, 32, 3, 16), ConvolutionLayer(32, 32, 3, 16, groups=32))


def compiled(layer: ConvolutionLayer, precision: str) -> Any:
    return load_openvino().Core().compile_model(profile.build(layer, precision), "CPU", settings({}))


def has_int8() -> bool:
    """Whether OpenVINO runs a plain convolution in 8 bits on this processor, as it does on all of x86-64."""
    import platform

    return platform.machine() in ("x86_64", "AMD64")


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize(
    ("layer", "due"),
    [
        (ConvolutionLayer(8, 16, 3, 10), 8 * 16 * 9 * 100),
        (ConvolutionLayer(8, 16, 1, 10), 8 * 16 * 100),
        (ConvolutionLayer(8, 8, 3, 10, groups=8), 8 * 9 * 100),
    ],
)
def test_every_weight_is_counted_once_for_every_pixel(layer: ConvolutionLayer, due: int, precision: str):
    assert profile.multiply_adds(profile.build(layer, precision)) == due


def test_transposed_convolutions_and_matrix_products_are_counted_too():
    ops = openvino.opset13
    image = ops.parameter([2, 4, 5, 5], np.float32)
    up = ops.convolution_backprop_data(
        image, ops.constant(np.ones((4, 3, 2, 2), np.float32)), strides=[2, 2], pads_begin=[0, 0], pads_end=[0, 0],
        dilations=[1, 1],
    )  # fmt: skip
    rows = ops.parameter([7, 6], np.float32)
    product = ops.matmul(rows, ops.constant(np.ones((6, 9), np.float32)), False, False)
    turned = ops.matmul(rows, ops.constant(np.ones((7, 9), np.float32)), True, False)
    results = [ops.result(value) for value in (up, product, turned)]
    model = openvino.Model(results, [image, rows], "both")
    assert profile.multiply_adds(model) == 2 * 25 * 4 * 3 * 4 + 7 * 6 * 9 + 6 * 7 * 9
    assert profile.weights(model) == 4 * 3 * 2 * 2 + 6 * 9 + 7 * 9


@pytest.mark.skipif(not has_int8(), reason="OpenVINO runs int8 otherwise on this processor")
@pytest.mark.parametrize("layer", TINY)
def test_an_int8_layer_really_runs_in_8_bits(layer: ConvolutionLayer):
    (int8,) = profile.kernels(compiled(layer, "int8"))
    (fp32,) = profile.kernels(compiled(layer, "fp32"))
    assert (int8.precision, int8.runs_in) in {("int8", "u8"), ("int8", "i8")}
    assert (fp32.precision, fp32.runs_in) == ("fp32", "f32")


def test_an_int8_layer_computes_a_quantised_convolution():
    layer = ConvolutionLayer(4, 4, 1, 4)
    image = np.random.default_rng(1).random((1, 4, 4, 4), np.float32)
    outputs = {how: compiled(layer, how)(image)[0] for how in ("int8", "fp32")}
    assert np.abs(outputs["int8"] - outputs["fp32"]).max() <= 4 / 255 + 4 * 1.27 / 255
    assert len(np.unique(outputs["int8"])) > 4
