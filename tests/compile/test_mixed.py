"""int8 with some layers in float: the same layers on every target, and they agree."""

import numpy as np
import onnx
import pytest

from compile import lint, targets
from compile.accuracy.verify import reference
from compile.export import export_mixed
from distill.int8.quantize import tied_tensors
from runtime.errors import InputError
from runtime.metrics import dice

TILE = (64, 64)
LAYERS = ("encoder.model.blocks.3.0.conv_pwl", "decoder.blocks.2.conv2.0")


@pytest.fixture(scope="module")
def graph(make_student):
    return export_mixed(make_student("mobilenetv3"), TILE, LAYERS)


@pytest.fixture(scope="module")
def lowered(graph):
    return {name: targets.load(name).lower(graph, {}) for name in targets.names()}


@pytest.mark.slow
def test_the_layers_are_float_in_the_graph_and_the_others_int8(graph):
    made = {name: node.op_type for node in graph.reference.graph.node for name in node.output}
    convolutions = [node for node in graph.reference.graph.node if node.op_type == "Conv"]
    rounded = {node.name for node in convolutions if made.get(node.input[1]) == "DequantizeLinear"}
    assert rounded == {node.name for node in convolutions} - graph.floats.convolutions
    for node in convolutions:
        if node.name in LAYERS:
            assert made[node.input[0]] != "DequantizeLinear"
        elif node.name in rounded:
            assert made[node.input[0]] == "DequantizeLinear"
    assert set(LAYERS) < graph.floats.convolutions
    lint.check(graph.reference, lint.EVERY, "the graph")


@pytest.mark.slow
def test_its_scheme_has_the_rounded_tensors_alone(graph):
    groups = tied_tensors(graph.student.graph())
    floats = {name for name, group in groups.items() if group in graph.floats.tensors}
    assert graph.scheme.activations.keys() == graph.student.scheme.activations.keys() - floats


@pytest.mark.slow
@pytest.mark.parametrize("name", ["intel", "microscope"])
def test_a_target_runs_the_same_layers_in_float(name, lowered, graph):
    operators = lowered[name].operators
    assert operators.convolutions - operators.int8_convolutions == len(graph.floats.convolutions)


@pytest.mark.slow
def test_jetson_keeps_the_layers_in_fp16(lowered, graph):
    assert graph.floats.convolutions <= set(lowered["jetson"].operators.details["float_convolutions"])
    model = onnx.ModelProto.FromString(lowered["jetson"].files["model.int8-fp16.onnx"])
    weights = {item.name: item.data_type for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.name in LAYERS:
            assert weights[node.input[1]] == onnx.TensorProto.FLOAT16


@pytest.mark.slow
def test_the_tflite_file_agrees_with_the_reference(lowered, graph, fields):
    from compile.targets.microscope.graph import interpreter

    found = interpreter(lowered["microscope"].files["model.tflite"])
    found.set_tensor(found.get_input_details()[0]["index"], fields[:1].transpose(0, 2, 3, 1))
    found.invoke()
    output = found.get_tensor(found.get_output_details()[0]["index"]).transpose(0, 3, 1, 2)
    due = reference(graph.reference)(fields[:1])
    assert np.abs(output - due).mean() < 0.01
    assert dice(output[:, 0] > 0.5, due[:, 0] > 0.5) > 0.98


def test_a_layer_that_is_not_there_is_refused(make_student):
    with pytest.raises(InputError, match=r"has no layer 'decoder\.none'; its first is 'encoder\.model\.conv_stem'"):
        export_mixed(make_student("mobilenetv3"), TILE, ["decoder.none"])
