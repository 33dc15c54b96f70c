"""The zoo's ONNX computes what the reference computes, without nodes that a runtime would fuse."""

import io
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from compile.accuracy.verify import reference
from compile.bundle.zoo import with_half_weights, with_rounding_written_out, zoo_model
from runtime.frames.normalize import normalize

pytestmark = pytest.mark.slow
TILE = (64, 64)


def test_rounding_written_out_changes_no_bit(make_graph, fields):
    model = make_graph("mobilenetv3").reference
    plain = with_rounding_written_out(model)
    assert {"QuantizeLinear", "DequantizeLinear"}.isdisjoint(node.op_type for node in plain.graph.node)
    np.testing.assert_array_equal(reference(plain)(fields[:1]), reference(model)(fields[:1]))


def test_the_model_that_is_rewritten_is_left_as_it_is(make_graph):
    model = make_graph("mobilenetv3").reference
    before = model.SerializeToString()
    with_rounding_written_out(model)
    with_half_weights(model)
    assert model.SerializeToString() == before


def test_written_out_rounding_leaves_an_optimising_runtime_little_to_change(make_graph, fields):
    plain = with_rounding_written_out(make_graph("mobilenetv3").reference)
    session = onnxruntime.InferenceSession(plain.SerializeToString(), providers=["CPUExecutionProvider"])
    distance = np.abs(session.run(None, {"image": fields[:1]})[0] - reference(plain)(fields[:1]))
    assert (distance > 0.002).mean() < 0.005


def test_weights_stay_small(make_graph):
    quantised = make_graph("mobilenetv3").reference
    plain = make_graph("mobilenetv3", "fp32").reference
    assert with_rounding_written_out(quantised).ByteSize() < 1.1 * quantised.ByteSize()
    assert with_half_weights(plain).ByteSize() < 0.6 * plain.ByteSize()


def test_half_weights_are_the_weights_rounded(make_graph, fields):
    plain = make_graph("mobilenetv3", "fp32").reference
    rounded = onnx.ModelProto.FromString(plain.SerializeToString())
    for item in rounded.graph.initializer:
        values = numpy_helper.to_array(item)
        if values.dtype == np.float32 and values.ndim > 1:
            item.CopyFrom(numpy_helper.from_array(values.astype(np.float16).astype(np.float32), item.name))
    np.testing.assert_array_equal(reference(with_half_weights(plain))(fields[:1]), reference(rounded)(fields[:1]))


def test_the_test_tile_is_raw_and_its_output_the_model_s(make_student, make_graph):
    student = make_student("mobilenetv3")
    graph = SimpleNamespace(student=student, tile=TILE, precision="int8", reference=make_graph("mobilenetv3").reference)
    files = zoo_model(graph).files
    image, output = (np.load(io.BytesIO(files[name])) for name in ("test_input.npy", "test_output.npy"))
    frame = student.probes[0][0].numpy()
    np.testing.assert_array_equal(image, frame[None, None, : TILE[0], : TILE[1]].astype(np.float32))
    tile = normalize(image[0, 0], student.spec.normalization)[None, None]
    np.testing.assert_array_equal(output, reference(graph.reference)(tile))
