"""OpenVINO really runs every convolution of an int8 student in int8."""

import re

import numpy as np
import pytest

openvino = pytest.importorskip("openvino")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "convolutions"),
    [("mobilenetv3", 45), ("mobilenetv3_se", 63), ("efficientnet_b0", 91), ("resnet18", 31)],
)
def test_every_convolution_runs_in_int8(variant, convolutions, lower):
    found = lower(variant, "intel").operators
    assert (found.int8_convolutions, found.convolutions) == (convolutions, convolutions)
    assert "runtime model of OpenVINO" in found.measured


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_float_student_is_counted_as_such(precision, built):
    found = built(precision)["intel"].manifest.operators
    assert (found.int8_convolutions, found.convolutions) == (0, 45)


@pytest.mark.slow
def test_the_precision_hint_is_pinned(built):
    for precision in ("int8", "fp16", "fp32"):
        assert built(precision)["intel"].manifest.hints == {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.mark.slow
def test_layers_are_counted_by_the_precision_they_run_in(built):
    int8, fp32 = (
        built(precision)["intel"].manifest.operators.details["layers_by_precision"] for precision in ("int8", "fp32")
    )
    assert int8["u8"] + int8.get("i8", 0) > int8["f32"]
    assert fp32.keys() == {"f32"}
    assert fp32["f32"] >= 45
    assert "layers in u8" in (built("int8")["intel"].path / "CARD.md").read_text()


@pytest.mark.slow
def test_the_model_says_what_it_is_in_openvino_s_own_place(built):
    artifact = built("int8")["intel"]
    model = openvino.Core().read_model(artifact.path / "model.xml")
    manifest = artifact.manifest
    said = {
        "labels": "foreground core",
        "confidence_threshold": f"{manifest.threshold:g}",
        "model_type": "edgescope",
        "model_name": manifest.student,
        "licenses": "Apache-2.0",
        "weights_sha256": manifest.lineage.weights_sha256,
    }
    assert {name: model.get_rt_info(["model_info", name]).astype(str) for name in said} == said


@pytest.mark.slow
def test_what_the_model_says_changes_no_bit(built):
    artifact = built("int8")["intel"]
    xml, weights = artifact.payload("openvino_xml").decode(), artifact.payload("openvino_bin")
    silent, count = re.subn(r"<model_info>.*</model_info>", "", xml, flags=re.DOTALL)
    assert count == 1
    core, tile = openvino.Core(), artifact.probes().inputs[:1]
    one, other = (core.compile_model(core.read_model(text.encode(), weights), "CPU")(tile)[0] for text in (xml, silent))
    np.testing.assert_array_equal(one, other)
