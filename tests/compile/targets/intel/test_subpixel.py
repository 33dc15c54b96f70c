"""Pixels of a sub-pixel convolution in one pass: the same numbers, whatever the graph around them."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from compile.accuracy.verify import reference
from compile.export import export
from compile.targets.intel.subpixel import place_pixels
from distill.student.student import load

BLOCK, OUTPUTS, SIDE = 4, 2, (3, 5)


def shuffled(quantized: float | None = None, mode: str = "CRD", batch: int | str = 1, after: str = "Sigmoid"):
    """logits -> (Q/DQ) -> DepthToSpace -> (Q/DQ with the scale `quantized`) -> sigmoid; 0.0625 is the scale before."""
    nodes, values, last = [], {"zero": np.int8(0)}, "logits"

    def rounded(scale: float, tensor: str) -> str:
        values[f"{tensor}_s"] = np.float32(scale)
        nodes.append(helper.make_node("QuantizeLinear", [tensor, f"{tensor}_s", "zero"], [f"{tensor}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{tensor}_q", f"{tensor}_s", "zero"], [f"{tensor}_dq"]))
        return f"{tensor}_dq"

    if quantized:
        last = rounded(0.0625, last)
    nodes.append(helper.make_node("DepthToSpace", [last], ["pixels"], blocksize=BLOCK, mode=mode))
    last = rounded(quantized, "pixels") if quantized else "pixels"
    nodes.append(helper.make_node(after, [last], ["probability"], "probability"))
    shape = [batch, OUTPUTS * BLOCK**2, *SIDE]
    placed = [batch, OUTPUTS, *(BLOCK * side for side in SIDE)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("logits", 1, shape)],
        [helper.make_tensor_value_info("probability", 1, placed)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("quantized", [None, 0.0625])
def test_pixels_come_to_their_places_in_one_transposition(quantized: float | None):
    source = shuffled(quantized)
    model = place_pixels(source)
    assert "DepthToSpace" not in kinds(model)
    assert kinds(model).count("QuantizeLinear") == (1 if quantized else 0)
    assert [item.name for item in model.graph.output] == ["probability"]
    logits = np.random.default_rng(0).normal(0, 3, (1, OUTPUTS * BLOCK**2, *SIDE)).astype(np.float32)
    np.testing.assert_array_equal(reference(model)(logits), reference(source)(logits))


@pytest.mark.parametrize(
    "more", [{"quantized": 0.125}, {"mode": "DCR"}, {"batch": 2}, {"batch": "N"}, {"after": "Relu"}], ids=str
)
def test_what_would_not_be_the_same_stays_as_it_is(more: dict):
    source = shuffled(**more)
    assert kinds(place_pixels(source)) == kinds(source)


def test_the_source_is_not_touched():
    source = shuffled(0.0625)
    before = source.SerializeToString()
    place_pixels(source)
    assert source.SerializeToString() == before


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_the_bundled_student_computes_the_same(precision: str):
    source = export(load(), (64, 96), precision).reference
    model = place_pixels(source)
    assert "DepthToSpace" in kinds(source)
    assert "DepthToSpace" not in kinds(model)
    image = np.random.default_rng(1).random((1, 1, 64, 96), np.float32)
    np.testing.assert_allclose(reference(model)(image), reference(source)(image), atol=1e-6)
