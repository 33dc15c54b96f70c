"""What the strictest backend refuses is said by node name before anything is lowered."""

from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper, numpy_helper

from compile.lint import defects, lint
from runtime.errors import EdgescopeError

GOOD = {
    "scale": np.float32(0.5),
    "other_scale": np.float32(0.25),
    "zero": np.int8(0),
    "codes": np.ones((4, 4, 1, 1), np.int8),
    "scales": np.full(4, 0.5, np.float32),
    "zeros": np.zeros(4, np.int8),
    "bias": np.zeros(4, np.float32),
    "bias_codes": np.zeros(4, np.int32),
}


def pair(source: str, output: str, scale: str = "scale", zero: str = "zero"):
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{output}_q"], f"quantize_{output}"),
        helper.make_node("DequantizeLinear", [f"{output}_q", scale, zero], [output], f"dequantize_{output}"),
    ]


def convolution(kind: str = "Conv", axis: int = 0, bias: str = "bias", scales: str = "scales"):
    weights = helper.make_node("DequantizeLinear", ["codes", scales, "zeros"], ["weight"], "weights", axis=axis)
    return [weights, helper.make_node(kind, ["x", "weight", bias], ["y"], "decoder.conv")]


def found(nodes, **changes):
    values = {**GOOD, **changes}
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    return list(defects(helper.make_model(helper.make_graph(nodes, "g", [], [], stored))))


def test_a_good_graph_has_no_defect():
    concat = helper.make_node("Concat", ["x", "z"], ["both"], "concat", axis=1)
    nodes = [*pair("image", "x"), *convolution(), *pair("y", "z"), concat]
    assert found(nodes) == []


@pytest.mark.parametrize(
    ("nodes", "changes", "words"),
    [
        (pair("image", "x"), {"zero": np.int8(3)}, "the zero-point of quantize_x is not 0"),
        (pair("image", "x"), {"zero": np.uint8(0)}, "quantize_x stores uint8, not int8"),
        (pair("image", "x"), {"scale": np.float32(0)}, "a scale of quantize_x is 0.0"),
        (pair("image", "x"), {"scale": np.float32(-1)}, "a scale of quantize_x is -1.0"),
        (pair("image", "x"), {"scale": np.float32("nan")}, "a scale of quantize_x is nan"),
        (pair("image", "x"), {"scale": np.float32("inf")}, "a scale of quantize_x is inf"),
        (pair("image", "x", scale="computed"), {}, "the scale of quantize_x is computed in the graph"),
        (pair("image", "x", zero="computed"), {}, "the zero-point of quantize_x is not 0"),
        (convolution(axis=1), {}, "the weight of decoder.conv has its scales along axis 1; they belong along axis 0"),
        (convolution("ConvTranspose"), {}, "scales along axis 0; they belong along axis 1"),
        (convolution(scales="computed"), {}, "the scale of weights is computed in the graph"),
        (
            [helper.make_node("DequantizeLinear", ["bias_codes", "scales"], ["b"], "bias_dq"), *convolution(bias="b")],
            {},
            "the bias of decoder.conv comes through DequantizeLinear; keep it a float constant",
        ),
        (
            [
                *pair("image", "x"),
                *pair("image", "z", "other_scale"),
                helper.make_node("Concat", ["x", "z"], ["both"], "decoder.concat", axis=1),
            ],
            {},
            "the inputs of decoder.concat have the scales [0.25, 0.5]; a concatenation needs one for all",
        ),
        ([helper.make_node("QLinearConv", ["image"], ["y"], "fused")], {}, "fused is a QLinearConv"),
        (
            [helper.make_node("QuantizeLinear", ["image", "scale"], ["q"], "bare")],
            {},
            "bare stores uint8, not int8",  # the standard's default where no zero-point is given
        ),
    ],
)  # fmt: skip
def test_a_defect_is_named(nodes, changes, words):
    assert any(words in text for text in found(nodes, **changes)), found(nodes, **changes)


def test_a_computed_scale_before_a_concatenation_is_named():
    concat = helper.make_node("Concat", ["x", "z"], ["both"], "concat", axis=1)
    nodes = [*pair("image", "x"), *pair("image", "z", scale="computed"), concat]
    assert any("the scale of quantize_z is computed" in text for text in found(nodes))


def test_lint_raises_every_defect_with_the_student_s_name():
    nodes = [*pair("image", "x", zero="computed"), *convolution(axis=1)]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in GOOD.items()]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], stored))
    student = SimpleNamespace(spec=SimpleNamespace(name="tiny"))
    with pytest.raises(EdgescopeError, match=r"graph of tiny cannot be lowered: .*quantize_x.*decoder\.conv"):
        lint(SimpleNamespace(reference=model, sparse=model, student=student))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["mobilenetv3", "mobilenetv3_se", "efficientnet_b0"])
def test_every_student_is_clean(variant, make_graph):
    lint(make_graph(variant))
