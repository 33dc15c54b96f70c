"""What the strictest backend refuses or gets wrong is said by node name, with the remedy, before it is lowered."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compile import lint
from compile.lint import EVERY, rules
from compile.targets.intel.signed import no_signed_convolution
from compile.targets.intel.unsigned import to_unsigned
from compile.targets.jetson.half import to_float16
from compile.targets.jetson.opset17 import to_opset_17
from compile.targets.jetson.rules import TENSORRT, TENSORRT_8, TENSORRT_10, placement, versions
from compile.targets.microscope.rules import only_integer_operators
from runtime.errors import InputError

CHANNELS = 16
OPENVINO, TFLITE = (no_signed_convolution,), (only_integer_operators,)
GOOD = {
    "scale": np.float32(0.5),
    "other_scale": np.float32(0.25),
    "zero": np.int8(0),
    "codes": np.ones((CHANNELS, CHANNELS, 3, 3), np.int8),
    "floats": np.ones((CHANNELS, CHANNELS, 3, 3), np.float32),
    "scales": np.full(CHANNELS, 0.5, np.float32),
    "zeros": np.zeros(CHANNELS, np.int8),
    "bias": np.zeros(CHANNELS, np.float32),
    "bias_codes": np.zeros(CHANNELS, np.int32),
    "bias_zeros": np.zeros(CHANNELS, np.int32),
}
node = helper.make_node


def pair(source, output, scale="scale", zero="zero", back=None):
    return [
        node("QuantizeLinear", [source, scale, zero], [f"{output}_q"], f"quantize_{output}"),
        node("DequantizeLinear", [f"{output}_q", back or scale, zero], [output], f"dequantize_{output}"),
    ]


def convolution(source="x", output="y", kind="Conv", axis=0, bias="bias", codes="codes", name="conv", **attributes):
    attributes = {"pads": [1, 1, 1, 1], **attributes}
    return [
        node("DequantizeLinear", [codes, "scales", "zeros"], [f"{name}_w"], f"{name}.weight", axis=axis),
        node(kind, [source, f"{name}_w", bias], [output], name, **attributes),
    ]


def joined(*parts):
    return node("Concat", list(parts), ["both"], "decoder.cat", axis=1)


def model(nodes, opset=19, image=(1, CHANNELS, 8, 8), extra_domain=None, **changes):
    values = {**GOOD, **changes}
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)]
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(extra_domain, 1)] if extra_domain else [])
    graph = helper.make_graph(nodes, "g", inputs, [], stored)
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def found(nodes, rules=EVERY, **changes):
    return list(lint.defects(model(nodes, **changes), rules))


GRAPH = [*pair("image", "x"), *convolution(), *pair("y", "z"), joined("x", "z")]


@pytest.mark.parametrize("rules", [EVERY, TENSORRT, TENSORRT_10, TFLITE, OPENVINO])
def test_a_good_graph_has_no_defect(rules):
    assert found(GRAPH, rules) == []


def test_a_good_graph_in_opset_17_has_no_defect_for_tensorrt_8():
    assert found(GRAPH, TENSORRT_8, opset=17) == []


@pytest.mark.parametrize("rules", [EVERY, TENSORRT, TENSORRT_10])
def test_a_float_graph_has_no_defect(rules):
    assert found([node("Conv", ["image", "floats", "bias"], ["y"], "conv"), node("Relu", ["y"], ["z"])], rules) == []


QUANTIZED_BIAS = node("DequantizeLinear", ["bias_codes", "scales", "bias_zeros"], ["b"], "bias_dq", axis=0)
FLOAT_WEIGHT = [
    node("QuantizeLinear", ["floats", "scales", "zeros"], ["w_q"], "quantize_w", axis=0),
    node("DequantizeLinear", ["w_q", "scales", "zeros"], ["w"], "dequantize_w", axis=0),
    node("Conv", ["x", "w"], ["y"], "conv"),
]
PARTED = [*pair("image", "x"), node("Conv", ["x", "floats"], ["branch"], "second")]
GATE = [node("GlobalAveragePool", ["image"], ["mean"]), node("HardSigmoid", ["mean"], ["gate"], "gate")]


@pytest.mark.parametrize(
    ("nodes", "changes", "words"),
    [
        (pair("image", "x"), {"zero": np.int8(3)}, "the zero-point of quantize_x is not 0; quantise symmetrically"),
        (pair("image", "x"), {"zero": np.uint8(0)}, "quantize_x stores uint8, not int8; quantise symmetrically"),
        (pair("image", "x", zero="computed"), {}, "the zero-point of quantize_x is not 0"),
        ([node("QuantizeLinear", ["image", "scale"], ["q"], "bare")], {}, "bare stores uint8, not int8"),
        (pair("image", "x"), {"scale": np.float32(0)}, "a scale of quantize_x is 0; scales must be finite and"),
        (pair("image", "x", scale="computed"), {}, "the scale of quantize_x is computed in the graph; make it"),
        (
            [node("QuantizeLinear", ["image", "scales", "zeros"], ["q"], "q", axis=1)],
            {},
            "q has 16 scales; an activation has one for the whole tensor",
        ),
        (pair("image", "x", back="other_scale"), {}, "quantize_x and dequantize_x have different scales; a pair"),
        (pair("image", "x")[:1], {}, "quantize_x has no DequantizeLinear behind it: nothing reads its codes"),
        (
            [pair("image", "x")[0], node("MaxPool", ["x_q"], ["m"], "pool", kernel_shape=[2, 2])],
            {},
            "quantize_x has no DequantizeLinear behind it: pool (MaxPool) reads its codes; dequantise at once",
        ),
        (
            [node("Cast", ["image"], ["c"], "cast", to=3), node("DequantizeLinear", ["c", "scale"], ["x"], "lone")],
            {},
            "lone reads cast, which is no QuantizeLinear; quantise right before it",
        ),
        (convolution(axis=1), {}, "the weight of conv has its scales along axis 1; they belong along axis 0"),
        (convolution(axis=-3), {}, "the weight of conv has its scales along axis 1; they belong along axis 0"),
        (
            convolution(kind="ConvTranspose"),
            {},
            "the weight of conv has its scales along axis 0; they belong along axis 1",
        ),
        (
            convolution(kind="ConvTranspose", axis=1, group=2),
            {},
            "conv has 2 groups and a scale for each channel; give its weight one scale",
        ),
        (
            convolution(),
            {"codes": np.ones((8, CHANNELS, 3, 3), np.int8)},
            "the weight of conv has 16 scales for 8 channels; give one for each",
        ),
        (
            convolution(),
            {"codes": np.full((CHANNELS, CHANNELS, 3, 3), -128, np.int8)},
            "the weight of conv holds the code -128; keep weights in [-63, 63]",
        ),
        (
            convolution(),
            {"codes": np.full((CHANNELS, CHANNELS, 3, 3), 64, np.int8)},
            "the weight of conv holds the code 64; keep weights in [-63, 63]",
        ),
        (
            convolution(),
            {"codes": np.ones((CHANNELS, CHANNELS, 3, 3), np.uint8)},
            "the weight of conv is stored as uint8; store int8 codes",
        ),
        (FLOAT_WEIGHT, {}, "the weight of conv is stored as float behind quantize_w; store its int8 codes"),
        (
            [node("Neg", ["floats"], ["w"], "neg"), node("Conv", ["x", "w"], ["y"], "conv")],
            {},
            "the weight of conv is computed by neg; make it a constant",
        ),
        (
            [QUANTIZED_BIAS, *convolution(bias="b")],
            {},
            "the bias of conv comes through DequantizeLinear; keep it a float constant",
        ),
        (
            [*pair("image", "x"), *pair("image", "z", "other_scale"), joined("x", "z")],
            {},
            "the inputs of decoder.cat have the scales [0.25, 0.5]; a concatenation needs one for all",
        ),
        ([node("QLinearConv", ["image"], ["y"], "fused")], {}, "fused is a QLinearConv; export Q/DQ pairs"),
        ([node("MatMulInteger", ["image"], ["y"], "fused")], {}, "fused is a MatMulInteger; export Q/DQ pairs"),
        (
            [node("Wavelet", ["image"], ["y"], "encoder.wavelet", domain="my.lab")],
            {},
            "encoder.wavelet is a Wavelet of the domain 'my.lab', which no backend knows; build it from standard",
        ),
        ([node("If", ["image"], ["y"], "branch")], {}, "branch is control flow (If); trace the student for one size"),
        ([node("Wavelet", ["image"], ["y"])], {}, "the Wavelet that makes y is a Wavelet, which opset 19 does not"),
        (GRAPH, {"image": ("batch", 16, 8, 8)}, "image has the open size batch; export for one size of tile"),
        (GRAPH, {"image": (1, 16, None, 8)}, "image has the open size ?; export for one size of tile"),
        (GRAPH, {"image": (4, 16, 8, 8)}, "image has a batch of 4; export for a batch of 1"),
    ],
)  # fmt: skip
def test_a_defect_of_any_graph_is_named(nodes, changes, words):
    assert any(words in text for text in found(nodes, **changes)), found(nodes, **changes)


@pytest.mark.parametrize(
    ("nodes", "changes", "words"),
    [
        (
            [*PARTED, *pair("branch", "b"), node("Add", ["b", "x"], ["y"], "sum")],
            {},
            "both inputs of the residual sum sum are quantised; quantise the skip alone",
        ),
        (
            [
                node("Conv", ["image", "floats"], ["branch"], "second"),
                *pair("branch", "b"),
                node("Add", ["image", "b"], ["y"], "sum"),
            ],
            {},
            "the new branch of the residual sum sum is quantised; quantise the skip (image) instead",
        ),
        (
            [*pair("image", "x"), joined("x", "image")],
            {},
            "decoder.cat joins quantised inputs with float ones (image); quantise all of them or none",
        ),
        (
            [*GATE, *pair("gate", "g"), node("Mul", ["image", "g"], ["y"], "se")],
            {},
            "the squeeze-excite product se has the quantised input g; keep both in float",
        ),
        (
            [*GATE, *pair("image", "x"), node("Mul", ["gate", "x"], ["y"], "se")],
            {},
            "the squeeze-excite product se has the quantised input x; keep both in float",
        ),
        (
            [*pair("image", "x"), *convolution()],
            {"codes": np.ones((CHANNELS, 8, 3, 3), np.int8)},
            "conv has 8 channels and an int8 weight; under 16 channels keep it float",
        ),
        (
            convolution(source="image"),
            {},
            "conv has an int8 weight and the float input image; quantise both or neither",
        ),
    ],
)
def test_a_defect_for_tensorrt_is_named_and_the_dense_graph_may_have_it(nodes, changes, words):
    assert found(nodes, TENSORRT, **changes) == [words]
    assert found(nodes, EVERY, **changes) == []


@pytest.mark.parametrize(
    ("nodes", "rules", "changes", "words"),
    [
        ([node("Det", ["image"], ["y"], "det")], TENSORRT_10, {}, "det is a Det, which TensorRT has no form for"),
        ([node("HardSwish", ["image"], ["y"], "act")], TENSORRT_8, {"opset": 17}, "write it as Mul(x, HardSigmoid(x))"),
        (GRAPH, TENSORRT_8, {}, "the model is written in opset 19; TensorRT 8 reads opset 17 at most"),
        (
            pair("image", "x"),
            TENSORRT_8,
            {"opset": 17, "scale": np.float16(0.5)},
            "quantize_x has a scale of float16; TensorRT 8 reads float32 scales alone",
        ),
        (
            pair("image", "x"),
            TENSORRT_10,
            {"opset": 17, "scale": np.float16(0.5)},
            "quantize_x is typed in fp16, which opset 17 does not know; export opset 19",
        ),
        ([node("Erf", ["image"], ["y"], "erf")], TFLITE, {}, "erf is a Erf, which int8 TFLite has no form for; use"),
    ],
)  # fmt: skip
def test_a_defect_for_one_reader_is_named(nodes, rules, changes, words):
    assert any(words in text for text in found(nodes, rules, **changes)), found(nodes, rules, **changes)


@pytest.mark.parametrize(
    "nodes",
    [
        [*PARTED, node("Add", ["branch", "x"], ["y"], "sum")],  # the skip is the source itself
        [*PARTED, node("Add", ["x", "branch"], ["y"], "sum")],
        [*PARTED, node("Add", ["branch", "bias"], ["y"], "no sum of two branches")],
        [node("Relu", ["image"], ["r"]), node("Add", ["r", "image"], ["y"], "float sum")],
    ],
)
def test_a_residual_sum_may_have_its_skip_quantised(nodes):
    assert found(nodes, (placement.residuals,)) == []


@pytest.mark.parametrize("rounded", ["skip", "branch"])
def test_a_projection_on_the_skip_is_the_skip(rounded):
    nodes = [
        *pair("image", "x"),
        node("Conv", ["x", "floats"], ["skip"], "projection"),
        node("Conv", ["x", "floats"], ["first"], "first"),
        *pair("first", "f"),
        node("Conv", ["f", "floats"], ["branch"], "second"),
        *pair(rounded, "r"),
        node("Add", ["r" if name == rounded else name for name in ("skip", "branch")], ["y"], "sum"),
    ]
    words = "the new branch of the residual sum sum is quantised; quantise the skip (skip) instead"
    assert found(nodes, (placement.residuals,)) == ([] if rounded == "skip" else [words])


def test_a_smooth_activation_is_no_gate():
    swish = [node("HardSigmoid", ["x"], ["half"]), node("Mul", ["x", "half"], ["y"], "swish")]
    assert found([*pair("image", "x"), *swish], TENSORRT) == []


def test_a_narrow_depthwise_convolution_may_be_int8():
    codes = np.ones((CHANNELS, 1, 3, 3), np.int8)
    assert found([*pair("image", "x"), *convolution(group=CHANNELS)], TENSORRT, codes=codes) == []


@given(st.floats(width=32, allow_nan=True, allow_infinity=True))
def test_a_scale_is_clean_exactly_when_it_is_finite_and_positive(value):
    bad = found(pair("image", "x"), (rules.constant_scales,), scale=np.float32(value))
    assert (not bad) == (np.isfinite(value) and value > 0)
    assert not bad or "quantize_x" in bad[0]


@given(st.floats(2**-14, 65000, width=32))
def test_a_scale_is_clean_for_half_exactly_when_half_holds_it(value):
    bad = found(pair("image", "x"), (versions.half_scales,), scale=np.float32(value))
    assert (not bad) == (float(np.float16(value)) == value)
    assert not bad or f"the scale {value:.8g} of quantize_x is no normal number of fp16" in bad[0]


@pytest.mark.parametrize("value", [2.0**-24, 2.0**-15, 1e6])
def test_a_scale_that_half_holds_badly_is_named(value):
    assert found(pair("image", "x"), (versions.half_scales,), scale=np.float32(value))


@given(st.integers(-128, 127))
def test_a_zero_point_is_clean_exactly_when_it_is_zero(value):
    assert (not found(pair("image", "x"), (rules.no_zero_points,), zero=np.int8(value))) == (value == 0)


@given(st.integers(-4, 3), st.sampled_from(["Conv", "ConvTranspose"]))
def test_an_axis_is_clean_exactly_when_it_is_that_of_the_output_channels(axis, kind):
    bad = found(convolution(kind=kind, axis=axis), (rules.int8_weights,))
    assert (not bad) == (axis % 4 == (0 if kind == "Conv" else 1))


@given(st.integers(0, CHANNELS - 1), st.sampled_from([0.0, -0.5, np.nan, np.inf]))
def test_one_wrong_scale_among_many_is_found(place, value):
    wrong = GOOD["scales"].copy()
    wrong[place] = value
    assert any("a scale of conv.weight is" in text for text in found(convolution(), scales=wrong))


SIGNED = [node("Neg", ["image"], ["n"]), *pair("n", "x")]
CODES = [node("Neg", ["image"], ["n"]), pair("n", "p")[0], node("MaxPool", ["p_q"], ["m"], kernel_shape=[3, 3])]


@pytest.mark.parametrize(
    "nodes",
    [
        [*SIGNED, *convolution()],
        [*SIGNED, *convolution(auto_pad="SAME_UPPER", pads=None)],
        [*SIGNED, node("Identity", ["x"], ["i"]), *convolution("i")],
        [*CODES, node("DequantizeLinear", ["m", "scale", "zero"], ["x"]), *convolution()],
        [node("Relu", ["image"], ["r"]), *pair("r", "p"), joined("p", "p"), *convolution("both")],
    ],
)
def test_what_openvino_would_compute_wrongly_is_named(nodes):
    (text,) = found(nodes, OPENVINO)
    assert text.startswith("conv is a padded int8 convolution of signed codes, which OpenVINO's CPU plugin computes")


@pytest.mark.parametrize(
    "nodes",
    [
        [*pair("image", "x"), *convolution()],
        [node("Relu", ["image"], ["r"]), *pair("r", "x"), *convolution()],
        [*SIGNED, *convolution(pads=[0, 0, 0, 0])],
        [*SIGNED, *convolution(group=CHANNELS)],
        [*SIGNED, node("Conv", ["x", "floats"], ["y"], "conv", pads=[1, 1, 1, 1])],
        [node("Neg", ["image"], ["n"]), *convolution("n")],
    ],
)
def test_what_openvino_computes_rightly_is_not_refused(nodes):
    assert found(nodes, OPENVINO) == []


def test_every_defect_of_a_graph_is_said_once():
    bad = model([*pair("image", "x", zero="computed"), *convolution(axis=1)])
    with pytest.raises(InputError, match=r"^The graph of tiny cannot be lowered: .*quantize_x.*; .*conv.*axis 1.*\.$"):
        lint.check(bad, EVERY, "the graph of tiny")


def test_a_checked_file_is_named():
    with pytest.raises(InputError, match=r"^Model\.fp16\.onnx cannot be lowered: det is a Det"):
        lint.check(model([node("Det", ["image"], ["y"], "det")]), TENSORRT_10, "model.fp16.onnx")


@pytest.mark.slow
def test_every_student_is_clean_in_every_form(variant, make_graph, rounded):
    graph = make_graph(variant)
    lint.check(graph.reference, EVERY, "the graph")
    forms = {
        "for TensorRT 10": (to_float16(rounded(variant)), TENSORRT_10),
        "for TensorRT 8": (to_opset_17(rounded(variant)), TENSORRT_8),
        "for OpenVINO": (to_unsigned(graph.reference)[0], OPENVINO),
        "for TFLite": (graph.reference, TFLITE),
    }
    defects = {name: list(lint.defects(form, rules)) for name, (form, rules) in forms.items()}
    assert not any(defects.values()), defects


@pytest.mark.slow
def test_without_the_detour_openvino_s_wrong_convolutions_are_named(make_graph):
    defects = list(lint.defects(make_graph("resnet18").reference, OPENVINO))
    assert [text.split(" ")[0] for text in defects] == [f"decoder.blocks.{stage}.conv1.0" for stage in range(4)]


@pytest.mark.slow
def test_a_defect_in_a_student_is_named_by_the_student_s_own_tensor(rounded):
    sparse = onnx.ModelProto.FromString(rounded("resnet18").SerializeToString())
    pairs = [item for item in sparse.graph.node if item.name.startswith("decoder.blocks.1:cat:")]
    sparse.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "odd"))
    for item in pairs:
        item.input[1] = "odd"
    (first, second) = lint.defects(sparse, (versions.half_scales,))
    assert "the scale 0.1 of decoder.blocks.1:cat:quantize is no normal number of fp16" in first
    assert "decoder.blocks.1:cat:dequantize" in second
