"""The exported graph computes what the student was trained with."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch.fx import Interpreter

from compile.accuracy.verify import reference
from compile.export import WithSigmoid, check_codes, export, stored_codes
from compile.layers import layer_name
from compile.targets.jetson.placement import NARROW
from distill.int8.graph import convolutions, parameter, tensor_name
from distill.int8.quantize import ACTIVATION_MAX, ACTIVATION_MIN, fake_quantize_weight, quantizers, weight_scales
from runtime.errors import EdgescopeError, InputError
from runtime.metrics import dice

TILE = (64, 64)
# Sums of thousands of float32 products depend on their order, and so does the side of a tie that they fall on. In
# codes: the largest found in these students is 3e-5.
SUMMATION = 1e-3


def run(model, fields):
    infer = reference(model)
    return np.concatenate([infer(tile[None]) for tile in fields])


def torch_run(graph, fields):
    with torch.no_grad():
        return WithSigmoid(graph).eval()(torch.from_numpy(fields)).numpy()


def codes_of(model, tile):
    """The int8 codes of every QuantizeLinear by its node's name, on one tile (1, 1, h, w), nothing optimised."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    names = {node.name: node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    outputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None) for name in names.values()]
    model.graph.output.extend(outputs)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names.values()), {"image": tile}), strict=True))


class Forced(Interpreter):
    """Run the fake-quantised student tensor by tensor, each from the codes that onnxruntime has, and compare.

    beyond : by tensor, how far a code lies beyond half a code from the value that training rounds, in codes; at most 0
        when it is the nearest code, whichever way a tie falls
    """

    def __init__(self, graph, codes):
        super().__init__(graph)
        self.codes, self.graph_module, self.beyond = codes, graph, {}

    def run_node(self, n):
        if n.op != "call_module" or "group" not in n.meta:
            return super().run_node(n)
        (value,), _ = self.fetch_args_kwargs_from_env(n)
        scale = self.graph_module.get_submodule(n.target).scale
        tensor = tensor_name(n.args[0])
        codes = torch.from_numpy(self.codes[f"{tensor}:quantize"].astype(np.float32))
        exact = (value.double() / scale.double()).clamp(ACTIVATION_MIN, ACTIVATION_MAX)
        self.beyond[tensor] = float((exact - codes).abs().max()) - 0.5
        return codes * scale


def forced_run(graph, prepared, fields):
    forced = Forced(prepared.eval(), codes_of(graph.reference, fields[:1]))
    with torch.no_grad():
        forced.run(torch.from_numpy(fields[:1]))
    return forced


def makers(model):
    return {name: node for node in model.graph.node for name in node.output}


def constants(model):
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


@pytest.mark.slow
def test_every_tensor_is_rounded_as_in_training(variant, make_graph, fields):
    """The nearest code to what training rounds, in every tensor: what was trained is what was exported.

    A route by torchao (0.18: FusedMovingAvgObsFakeQuantize, then convert_pt2e) moved outputs by up to 0.15. What it
    rounds with in training is not what its symmetric scheme writes, see tests/distill/test_quantize.py. Ours has one
    number for both, FakeQuantize.scale, which becomes the scheme and from there every artefact's scale.
    """
    graph = make_graph(variant)
    forced = forced_run(graph, graph.student.quantized(graph.tile), fields)
    assert len(forced.beyond) >= 40
    assert {name: beyond for name, beyond in forced.beyond.items() if beyond > SUMMATION} == {}


@pytest.mark.slow
@pytest.mark.parametrize("factor", [127 / 127.5, 0.5])
def test_a_scale_that_is_not_the_one_trained_with_would_be_noticed(factor, make_graph, fields):
    graph = make_graph("mobilenetv3")
    prepared = graph.student.quantized(graph.tile)
    tensor = "decoder.blocks.1.conv1.2:relu"
    quantizers(prepared)[tensor].scale *= factor  # torchao's two errors: amax / 127.5, and half of it behind a ReLU
    beyond = forced_run(graph, prepared, fields).beyond
    assert next(name for name, distance in beyond.items() if distance > SUMMATION) == tensor, "the first one to differ"


@pytest.mark.slow
def test_rounding_is_named_after_the_tensor_that_it_rounds(variant, make_graph):
    graph = make_graph(variant)
    scales, values = graph.student.scheme.activations, constants(graph.reference)
    pairs = [node for node in graph.reference.graph.node if node.name.endswith((":quantize", ":dequantize"))]
    found = {
        node.name.rpartition(":")[0]: float(values[node.input[1]]) for node in pairs if values[node.input[1]].ndim == 0
    }
    assert found == scales


@pytest.mark.slow
def test_the_reference_graph_equals_the_fake_quantised_student(variant, make_graph, fields):
    graph = make_graph(variant)
    due, found = torch_run(graph.student.quantized(graph.tile), fields), run(graph.reference, fields)
    # One flipped code in the 2 x 2 pixels at the bottom reaches all of the image, so not bit by bit.
    assert np.abs(found - due).mean() < 0.004
    assert dice(found[:, 0] > 0.5, due[:, 0] > 0.5) > 0.995


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_float_export_equals_the_float_student(precision, make_graph, fields):
    graph = make_graph("mobilenetv3", precision)
    assert not graph.quantized
    assert {node.op_type for node in graph.reference.graph.node}.isdisjoint({"QuantizeLinear", "DequantizeLinear"})
    np.testing.assert_allclose(
        run(graph.reference, fields), torch_run(graph.student.graph(graph.tile), fields), atol=1e-5
    )


@pytest.mark.slow
def test_weights_are_the_student_s_codes_and_biases_are_float(variant, make_graph):
    graph = make_graph(variant)
    source = graph.student.graph(graph.tile)
    weights = {
        tensor_name(node).removesuffix(":conv2d"): parameter(source, node.args[1]) for node in convolutions(source)
    }
    made, values = makers(graph.reference), constants(graph.reference)
    found = {node.name: node for node in graph.reference.graph.node if node.op_type == "Conv"}
    assert found.keys() == weights.keys()
    for name, node in found.items():
        codes, scales = (values[tensor] for tensor in made[node.input[1]].input[:2])
        due = weight_scales(weights[name])
        assert codes.dtype == np.int8
        np.testing.assert_array_equal(scales, due.numpy())
        np.testing.assert_array_equal(codes, np.rint(weights[name].detach().numpy() / due.numpy().reshape(-1, 1, 1, 1)))
        for bias in node.input[2:]:  # one that is all zeros is left out
            assert values[bias].dtype == np.float32


@pytest.mark.slow
def test_weights_next_to_a_tie_are_exported_with_the_codes_of_training(make_student):
    """Every weight is moved to within one step of a tie, where a product with 1 / scale rounds to another code."""
    student = make_student("mobilenetv3")
    rng = np.random.default_rng(0)
    weights = dict(student.weights)
    for name, weight in weights.items():
        if weight.ndim == 4 and weight[0].numel() > 1:
            scales = weight_scales(weight).reshape(-1, 1, 1, 1)
            ties = (torch.floor(weight / scales) + 0.5) * scales
            toward = torch.from_numpy(rng.choice([-np.inf, 0.0, np.inf], ties.shape).astype(np.float32))
            moved = torch.where(toward == 0, ties, torch.nextafter(ties, toward))
            largest = weight.abs() >= weight.abs().amax(dim=(1, 2, 3), keepdim=True)  # those decide the scale
            weights[name] = torch.where(largest | (moved.abs() > 126 * scales), weight, moved)
    adversarial = replace(student, weights=weights)
    prepared = adversarial.quantized(TILE)
    stored = stored_codes(export(adversarial, TILE, "int8").reference)
    compared = 0
    for node in prepared.graph.nodes:
        if node.target is fake_quantize_weight:
            weight = parameter(prepared, node.args[0])
            trained = fake_quantize_weight(weight).detach()
            codes = torch.from_numpy(stored[layer_name(next(iter(node.users)))].astype(np.float32))
            assert torch.equal(codes * weight_scales(weight).reshape(-1, 1, 1, 1), trained)
            compared += codes.numel()
    assert compared > 100_000


@pytest.mark.slow
def test_a_weight_code_that_is_not_the_trained_one_is_refused(make_graph):
    graph = make_graph("mobilenetv3")
    stored = stored_codes(graph.reference)
    name = next(iter(stored))
    stored[name] = stored[name].copy()
    stored[name].flat[3] ^= 1
    with pytest.raises(EdgescopeError, match=f"1 of {stored[name].size} exported int8 weights of layer {name} are not"):
        check_codes(stored, graph.student.quantized(graph.tile))


@pytest.mark.slow
def test_the_scheme_s_scales_stand_in_the_graph(variant, make_graph):
    graph = make_graph(variant)
    values = constants(graph.reference)
    found = {float(values[n.input[1]]) for n in graph.reference.graph.node if n.op_type == "QuantizeLinear"}
    assert found == set(graph.student.scheme.activations.values())


@pytest.mark.slow
def test_the_sparse_graph_rounds_only_what_convolutions_read_and_one_side_of_a_sum(rounded):
    model = rounded("mobilenetv3_se")
    made = makers(model)
    gates, sums = 0, 0
    for node in model.graph.node:
        kinds = [made[name].op_type for name in node.input if name in made]
        if node.op_type == "Mul" and "HardSigmoid" in kinds:
            gates += 1
            assert "DequantizeLinear" not in kinds, node.name
        if node.op_type == "Add" and len(kinds) == 2:
            sums += 1
            assert kinds.count("DequantizeLinear") == 1, (node.name, kinds)
    assert gates == 9
    assert sums == 6


@pytest.mark.slow
def test_every_residual_sum_of_resnet_has_its_skip_rounded_and_its_new_branch_in_float(rounded):
    model = rounded("resnet18")
    made = makers(model)
    sums = [node for node in model.graph.node if node.op_type == "Add"]
    assert len(sums) == 8
    for node in sums:
        kinds = {made[name].op_type: made[name] for name in node.input}
        assert kinds.keys() == {"Conv", "DequantizeLinear"}
        assert kinds["Conv"].name.endswith("conv2"), "a projection on the skip is the skip"


@pytest.mark.slow
def test_narrow_convolutions_of_the_sparse_graph_stay_float(variant, rounded):
    model = rounded(variant)
    made, values = makers(model), constants(model)
    for node in (node for node in model.graph.node if node.op_type == "Conv"):
        maker = made.get(node.input[1])
        shape = values[node.input[1] if maker is None else maker.input[0]].shape
        group = next(item.i for item in node.attribute if item.name == "group")
        assert (maker is None) == (group == 1 and min(shape[:2]) < NARROW), node.name


def test_a_student_without_a_scheme_is_refused_in_int8(make_student):
    from dataclasses import replace

    with pytest.raises(InputError, match="no quantisation scheme; use --precision fp16 or fp32"):
        export(replace(make_student("mobilenetv3"), scheme=None), (64, 64), "int8")


@pytest.mark.parametrize("tile", [(64, 60), (0, 64), (33, 33)])
def test_a_tile_that_does_not_fit_the_stride_is_refused(make_student, tile):
    with pytest.raises(InputError, match="not a multiple of the student's stride 32; try"):
        export(make_student("mobilenetv3"), tile, "fp32")
