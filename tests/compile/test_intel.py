"""OpenVINO really runs every convolution of an int8 student in int8."""

import pytest

pytest.importorskip("openvino")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "convolutions"),
    [("mobilenetv3", 45), ("mobilenetv3_se", 63), ("efficientnet_b0", 91), ("resnet18", 31)],
)
def test_every_convolution_runs_in_int8(variant, convolutions, lower):
    found = lower(variant, "intel").operators
    assert (found["int8_convolutions"], found["convolutions"]) == (convolutions, convolutions)
    assert "runtime model of OpenVINO" in found["measured"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_float_student_is_counted_as_such(precision, built):
    found = built(precision)["intel"].manifest.operators
    assert (found["int8_convolutions"], found["convolutions"]) == (0, 45)


@pytest.mark.slow
def test_the_precision_hint_is_pinned(built):
    for precision in ("int8", "fp16", "fp32"):
        assert built(precision)["intel"].manifest.hints == {"INFERENCE_PRECISION_HINT": "f32"}
