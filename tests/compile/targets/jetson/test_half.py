"""The graph typed in half precision, which TensorRT 10 and 11 read."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from compile.accuracy.verify import reference
from compile.targets.jetson.half import to_float16
from runtime.errors import InputError


@pytest.fixture(scope="module")
def half(rounded):
    return to_float16(rounded("mobilenetv3"))


def tensor_types(model):
    return {item.name: item.type.tensor_type.elem_type for item in model.graph.value_info}


@pytest.mark.slow
def test_it_is_half_inside_and_float_at_the_edges(half):
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    inside = set(tensor_types(half).values())
    assert TensorProto.FLOAT16 in inside
    assert inside <= {TensorProto.FLOAT16, TensorProto.INT8}


@pytest.mark.slow
def test_scales_are_the_same_numbers_in_half(half, rounded):
    def scales(model):
        values = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
        return [values[node.input[1]] for node in pairs]

    narrow, wide = scales(half), scales(rounded("mobilenetv3"))
    assert len(narrow) == len(wide) > 60
    for a, b in zip(narrow, wide, strict=True):
        assert a.dtype == np.float16
        np.testing.assert_array_equal(a.astype(np.float32), b)


@pytest.mark.slow
def test_onnxruntime_runs_it_and_it_differs_little(half, rounded, fields):
    narrow, wide = reference(half), reference(rounded("mobilenetv3"))
    distance = [np.abs(narrow(tile[None]) - wide(tile[None])).mean() for tile in fields]
    assert max(distance) < 0.005


@pytest.mark.slow
def test_the_float_student_in_half_differs_little(make_graph, fields):
    model = make_graph("mobilenetv3", "fp32").reference
    narrow, wide = reference(to_float16(model)), reference(model)
    np.testing.assert_allclose(narrow(fields[:1]), wide(fields[:1]), atol=0.05)


def test_a_number_that_half_cannot_hold_is_named():
    node = onnx.helper.make_node("Mul", ["image", "huge"], ["probability"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node],
            "overflow",
            [onnx.helper.make_tensor_value_info("image", 1, [1, 1, 2, 2])],
            [onnx.helper.make_tensor_value_info("probability", 1, [1, 1, 2, 2])],
            [numpy_helper.from_array(np.float32([70000]), "huge")],
        )
    )
    with pytest.raises(InputError, match=r"huge holds 7e\+04, more than float16 can"):
        to_float16(model)
