"""The .tflite files: the student's own scales and codes, nothing calibrated."""

import numpy as np
import pytest
import torch

from compile.accuracy.verify import reference
from compile.targets.microscope.graph import interpreter, operators, values
from distill.int8.graph import convolutions, parameter
from distill.int8.quantize import weight_scales
from runtime import backend as backends
from runtime.execution import DEFAULT
from runtime.metrics import dice

EDGES = ("QUANTIZE", "DEQUANTIZE")
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def tflite(lower, variant, precision="int8") -> bytes:
    return lower(variant, "microscope", precision).files["model.tflite"]


def details(model):
    return {item["name"]: item for item in interpreter(model).get_tensor_details() if item["name"]}


def run(model, fields):
    found = interpreter(model)
    image, result = found.get_input_details()[0]["index"], found.get_output_details()[0]["index"]
    outputs = []
    for tile in fields:
        found.set_tensor(image, tile[None].transpose(0, 2, 3, 1))
        found.invoke()
        outputs.append(found.get_tensor(result).transpose(0, 3, 1, 2).copy())
    return np.concatenate(outputs)


def by_channel(weight, kind):
    """Weights of TFLite as torch orders them: (O, I, kh, kw)."""
    return weight.transpose((3, 0, 1, 2) if kind == "DEPTHWISE_CONV_2D" else (0, 3, 1, 2))


@pytest.mark.slow
def test_all_operators_are_int8(variant, lower):
    found = list(operators(tflite(lower, variant)))
    assert {op.name for op in found if op.name not in EDGES and op.dtypes != {"int8"}} == set()
    assert [op.name for op in found if op.name in EDGES] == ["QUANTIZE", "DEQUANTIZE"]
    figures = lower(variant, "microscope").operators
    assert figures.int8_convolutions == figures.convolutions > 30
    assert figures.details["float_operators"] == []


@pytest.mark.slow
def test_every_scale_is_the_scheme_s(variant, lower, make_student):
    model = tflite(lower, variant)
    tensors, scheme = details(model), np.unique([*make_student(variant).scheme.activations.values()])
    allowed = np.concatenate([scheme, 6 * scheme])  # relu6(x + 3), which is six times a hard-sigmoid
    seen = []
    for op in operators(model):
        for name in op.outputs if op.name not in EDGES[1:] else ():
            how = tensors[name]["quantization_parameters"]
            scale, zero = how["scales"][0], how["zero_points"][0]
            if op.name == "LOGISTIC":  # fixed by TFLite
                assert (scale, zero) == (1 / 256, -128), name
                continue
            assert zero == 0, name
            assert np.min(np.abs(allowed / scale - 1)) < 1e-6, (op.name, name, scale)
            seen.append(scale)
    missing = [scale for scale in scheme if np.min(np.abs(np.array(seen) / scale - 1)) >= 1e-6]
    assert missing == []


@pytest.mark.slow
def test_the_border_of_a_max_pool_is_the_smallest_code_at_the_scale_of_its_input(lower, fields):
    model = tflite(lower, "resnet18")
    held, tensors = values(model, fields[:1].transpose(0, 2, 3, 1)), details(model)
    (pad,) = (op for op in operators(model) if op.name == "PADV2")  # its constant was minus infinity
    image, _, border = pad.inputs
    assert held[border].tolist() == -128
    scales = {float(tensors[name]["quantization_parameters"]["scales"][0]) for name in (image, border, *pad.outputs)}
    assert len(scales) == 1


@pytest.mark.slow
def test_every_weight_code_is_torch_s(variant, lower, make_student, fields):
    model = tflite(lower, variant)
    held, tensors = values(model, fields[:1].transpose(0, 2, 3, 1)), details(model)
    graph = make_student(variant).graph()
    due = {}
    for node in convolutions(graph):
        weight = parameter(graph, node.args[1]).detach()
        scales = weight_scales(weight)
        codes = torch.round(weight / scales.reshape(-1, 1, 1, 1)).to(torch.int8).numpy()
        due[codes.tobytes()] = (codes.shape, scales.numpy())
    found = [op for op in operators(model) if op.name in CONVOLUTIONS]
    assert len(found) == len(due)
    for op in found:
        codes = np.ascontiguousarray(by_channel(held[op.inputs[1]], op.name))
        assert codes.dtype == np.int8
        assert codes.tobytes() in due, op.outputs
        shape, scales = due.pop(codes.tobytes())
        assert codes.shape == shape
        how = tensors[op.inputs[1]]["quantization_parameters"]
        np.testing.assert_allclose(how["scales"], scales, rtol=1e-6)
        assert not how["zero_points"].any()


@pytest.mark.slow
def test_it_agrees_with_the_reference(variant, lower, make_graph, fields):
    infer = reference(make_graph(variant).reference)
    found, due = run(tflite(lower, variant), fields), np.concatenate([infer(tile[None]) for tile in fields])
    assert np.abs(found - due).mean() < 0.01
    assert dice(found[:, 0] > 0.5, due[:, 0] > 0.5) > 0.985


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "close"), [("fp32", 1e-4), ("fp16", 2e-2)])
def test_a_float_file_agrees_with_the_reference(precision, close, built, make_graph, fields):
    model = built(precision)["microscope"].payload("tflite")
    infer = reference(make_graph("mobilenetv3", precision).reference)
    np.testing.assert_allclose(run(model, fields[:1]), infer(fields[:1]), atol=close)


@pytest.mark.slow
def test_half_precision_halves_the_file(built):
    half, full = (len(built(precision)["microscope"].payload("tflite")) for precision in ("fp16", "fp32"))
    assert half < 0.6 * full


@pytest.mark.slow
def test_a_batch_gives_what_one_tile_after_the_other_gives(built, fields):
    artifact = built("fp32")["microscope"]
    backend = backends.load("tflite")
    one, several = backend.open(artifact, DEFAULT), backend.open_batched(artifact, len(fields), DEFAULT)
    due = np.concatenate([one.run(tile[None]) for tile in fields])
    np.testing.assert_allclose(several.run(fields), due, atol=1e-5)


@pytest.mark.slow
def test_steps_give_what_run_gives(built, fields):
    session = backends.load("tflite").open(built("fp32")["microscope"], DEFAULT)
    assert isinstance(session, backends.Stepwise)
    session.feed(fields[:1])
    session.infer()
    np.testing.assert_array_equal(session.fetch(), session.run(fields[:1]))
