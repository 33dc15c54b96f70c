"""Fake quantisation: exact scales, codes in range, tied tensors, and the same numbers as slow numpy."""

import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill import students
from distill.int8.graph import aten, flatten
from distill.int8.quantize import (
    ACTIVATION_MAX,
    ACTIVATION_MIN,
    SMALLEST_SCALE,
    WEIGHT_MAX,
    WEIGHT_MIN,
    FakeQuantize,
    apply_scheme,
    copy_of,
    fake_quantize_weight,
    half_exact,
    is_pass_through,
    is_stored,
    prepare,
    quantizers,
    scheme_of,
    stop_observing,
    tied_tensors,
    to_codes,
    weight_codes,
    weight_scales,
)
from runtime.artifact.manifest import QuantScheme
from runtime.errors import InputError

TILE = (64, 64)


INT8 = [name for name in students.names() if students.load(name).no_int8 is None]


@pytest.fixture(scope="module", params=INT8)
def family(request) -> str:
    """Every family that int8 suits."""
    return request.param


@pytest.fixture(scope="module")
def flat(build):
    """flat("mobilenetv3") -> its traced graph; for reading alone, as tracing takes seconds."""
    return cache(lambda family: flatten(build(family), TILE))


@pytest.fixture(scope="module")
def observed(family, flat):
    """A prepared graph that has seen one batch."""
    graph = prepare(flat(family))
    with torch.no_grad():
        graph.train()(torch.rand(2, 1, *TILE, generator=torch.Generator().manual_seed(0)))
    return graph.eval()


@given(st.floats(SMALLEST_SCALE, 60000, width=32))
def test_half_exact_is_the_next_fp16_value(scale: float):
    below = np.float16(scale)
    expected = below if float(below) >= scale else np.nextafter(below, np.float16(np.inf))
    assert float(half_exact(torch.tensor(scale))) == float(expected)


@given(st.floats(2.0**-14, 2.0, width=32))
def test_half_exact_never_shrinks_a_scale(scale: float):
    rounded = float(half_exact(torch.tensor(scale)))
    assert scale <= rounded <= scale * (1 + 2**-10)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 2.0**-15])
def test_tiny_scales_are_the_smallest_normal_fp16(scale: float):
    assert float(half_exact(torch.tensor(scale))) == SMALLEST_SCALE


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1e3))
def test_weight_codes_stay_in_range_and_use_it(seed: int, size: float):
    weight = size * torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    codes = fake_quantize_weight(weight) / weight_scales(weight).reshape(-1, 1, 1, 1)
    assert torch.equal(codes, codes.round())
    assert codes.abs().amax() <= WEIGHT_MAX
    assert (codes.abs().amax(dim=(1, 2, 3)) >= WEIGHT_MAX - 1).all()


def test_a_sum_of_two_products_fits_in_16_bits():
    """Processors without VNNI add pairs of (unsigned activation * weight) in int16, and cut the sum off."""
    unsigned = ACTIVATION_MAX - ACTIVATION_MIN  # the largest activation, after the shift to unsigned codes
    bits = np.iinfo(np.int16)
    assert 2 * unsigned * WEIGHT_MAX <= bits.max
    assert 2 * unsigned * WEIGHT_MIN >= bits.min


def test_a_channel_of_zeros_stays_zero():
    weight = torch.zeros(2, 1, 3, 3)
    weight[1] = 1
    rounded = fake_quantize_weight(weight)
    assert torch.equal(rounded[0], weight[0])
    torch.testing.assert_close(rounded[1], weight[1], rtol=1e-3, atol=0)


def test_weights_equal_slow_numpy():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    scales = weight_scales(torch.from_numpy(weight)).numpy()
    expected = np.empty_like(weight)
    for channel, scale in enumerate(scales):
        for place, value in np.ndenumerate(weight[channel]):
            code = min(WEIGHT_MAX, max(WEIGHT_MIN, round(float(value) / float(scale))))
            expected[(channel, *place)] = code * scale
    found = fake_quantize_weight(torch.from_numpy(weight)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


def near_ties(scale: np.float32, reach: int = 3) -> np.ndarray:
    """The float32 values within `reach` steps of every (code + 0.5) * scale, for codes -130 to 130."""
    ties = ((np.arange(-130, 130) + 0.5) * np.float64(scale)).astype(np.float32)
    bits = ties.view(np.int32)[:, None] + np.arange(-reach, reach + 1, dtype=np.int32)
    return bits.ravel().view(np.float32)


def exact_codes(values: np.ndarray, scale: np.float32, least: int, most: int) -> np.ndarray:
    """The correctly rounded float32 quotient, then half to even: from exact fractions, without the processor's help."""
    quotients = [np.float32(float(Fraction(float(v)) / Fraction(float(scale)))) for v in values]
    return np.array([min(most, max(least, round(float(q)))) for q in quotients], np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_codes_next_to_a_tie_are_those_of_exact_arithmetic(seed: int):
    scale = half_exact(torch.rand(1, generator=torch.Generator().manual_seed(seed)) / 16)
    values = near_ties(np.float32(scale.item()))
    found = to_codes(torch.from_numpy(values), scale, ACTIVATION_MIN, ACTIVATION_MAX)
    due = exact_codes(values, np.float32(scale.item()), ACTIVATION_MIN, ACTIVATION_MAX)
    np.testing.assert_array_equal(found.numpy(), due)


@pytest.mark.parametrize("seed", range(8))
def test_training_computes_with_those_codes_for_weights_and_activations(seed: int):
    scale = half_exact(torch.rand(1, generator=torch.Generator().manual_seed(seed)) / 16)
    values = torch.from_numpy(near_ties(np.float32(scale.item())))
    due = to_codes(values, scale, ACTIVATION_MIN, ACTIVATION_MAX) * scale
    assert torch.equal(FakeQuantize(float(scale))(values), due)
    weight = values[values.abs() <= WEIGHT_MAX * scale].reshape(1, -1, 1, 1)
    weight = torch.cat([weight, (WEIGHT_MAX * scale).reshape(1, 1, 1, 1)], dim=1)  # so that its scale is that one
    assert torch.equal(weight_scales(weight), scale)
    assert torch.equal(fake_quantize_weight(weight), weight_codes(weight) * scale)


def test_torch_s_own_rounding_differs_next_to_a_tie():
    """Why it is not used: it multiplies by 1 / scale."""
    scales = [half_exact(torch.rand(1, generator=torch.Generator().manual_seed(seed)) / 16) for seed in range(8)]
    differ = 0
    for scale in scales:
        values = torch.from_numpy(near_ties(np.float32(scale.item())))
        theirs = torch.fake_quantize_per_tensor_affine(values, float(scale), 0, ACTIVATION_MIN, ACTIVATION_MAX)
        differ += int((theirs != to_codes(values, scale, ACTIVATION_MIN, ACTIVATION_MAX) * scale).sum())
    assert differ > 0


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_a_processor_with_fewer_instructions_finds_the_same_codes(capability: str):
    script = (
        "import hashlib, numpy, torch; from distill.int8.quantize import weight_codes\n"
        "values = numpy.random.default_rng(0).integers(-(10**6), 10**6, (64, 512, 9, 9)) / 2.0**20\n"
        "weight = torch.from_numpy(values.astype('float32'))\n"
        "print(hashlib.sha256(weight_codes(weight).numpy().tobytes()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, check=True
        ).stdout
        for environment in ({}, {"ATEN_CPU_CAPABILITY": capability})
    }
    assert len(found) == 1


def test_activations_equal_slow_numpy():
    rng = np.random.default_rng(0)
    scale = float(half_exact(torch.tensor(0.037)))
    codes = rng.integers(-150, 150, 500)
    values = ((codes + rng.uniform(-0.49, 0.49, 500)) * scale).astype(np.float32)
    expected = [min(127, max(-128, round(float(value) / scale))) * scale for value in values]
    found = FakeQuantize(scale)(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


def test_the_gradient_passes_straight_through_inside_the_range():
    tensor = torch.tensor([-20.0, -1.0, 0.3, 1.0, 20.0], requires_grad=True)
    FakeQuantize(0.0625)(tensor).sum().backward()
    assert tensor.grad is not None
    assert tensor.grad.tolist() == [0, 1, 1, 1, 0]


def test_the_gradient_of_a_weight_passes_straight_through():
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    fake_quantize_weight(weight).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_the_scale_follows_a_moving_average_of_the_largest_value():
    quantizer = FakeQuantize().train()
    quantizer(torch.tensor([-2.0, 1.0]))
    assert float(quantizer.amax) == 2
    quantizer(torch.tensor([4.0]))
    assert float(quantizer.amax) == pytest.approx(2 + 0.05 * 2)
    assert float(quantizer.scale) == float(half_exact(quantizer.amax / 127))


@pytest.mark.parametrize("how", ["evaluating", "stopped", "known"])
def test_a_scale_stays_when_it_is_not_to_be_learnt(how: str):
    quantizer = FakeQuantize(0.5 if how == "known" else None).train(how != "evaluating")
    quantizer.observing = quantizer.observing and how != "stopped"
    before = float(quantizer.scale)
    quantizer(torch.tensor([400.0]))
    assert float(quantizer.scale) == before


def test_every_stored_tensor_has_a_scale(observed):
    scales = scheme_of(observed).activations
    stored = {node.meta["tensor"] for node in observed.graph.nodes if is_stored(node)}
    assert stored
    assert stored <= set(scales)


def test_all_scales_are_exact_in_fp16_and_were_observed(observed):
    scales = scheme_of(observed).activations
    assert all(float(np.float16(scale)) == scale for scale in scales.values())
    assert not [name for name, scale in scales.items() if scale == 1.0]  # where a quantiser starts


def test_tensors_that_meet_share_a_scale(observed, family: str):
    scales, groups = scheme_of(observed).activations, tied_tensors(observed)
    passing = [node for node in observed.graph.nodes if is_pass_through(node)]
    kinds = {node.target._opname for node in passing}
    assert "upsample_nearest2d" in kinds
    assert ("cat" in kinds) == (family != "linknet")  # which adds
    for node in passing:
        sources = [_named(source) for source in node.all_input_nodes]
        names = [node.meta["tensor"], *(source.meta["tensor"] for source in sources if source.meta["tensor"] in groups)]
        assert len({groups[name] for name in names}) == 1
        assert len({scales[name] for name in names}) == 1


def test_a_sum_before_its_relu_is_not_stored_but_the_relu_is(flat):
    nodes = flat("resnet18").graph.nodes
    sums = [node for node in nodes if node.target is aten.add.Tensor]
    assert len(sums) == 8
    for node in sums:
        (reader,) = node.users
        assert not is_stored(node)
        assert is_stored(reader)


def test_a_max_pool_has_the_scale_of_what_it_reads(flat):
    graph = flat("resnet18")
    groups = tied_tensors(graph)
    (pool,) = (node for node in graph.graph.nodes if node.target is aten.max_pool2d.default)
    assert groups[pool.meta["tensor"]] == groups[pool.args[0].meta["tensor"]]


def _named(node):
    while "tensor" not in node.meta:
        node = node.all_input_nodes[0]
    return node


def test_training_in_quantised_form_reaches_every_weight(observed):
    graph = copy_of(observed).train()
    tiles = torch.rand(2, 1, *TILE, generator=torch.Generator().manual_seed(3))
    graph(tiles).square().mean().backward()
    gradients = {name: weight.grad for name, weight in graph.named_parameters()}
    assert gradients
    assert all(found is not None and found.isfinite().all() for found in gradients.values())
    moved = [bool(found.any()) for name, found in gradients.items() if name.endswith("weight")]
    assert all(moved)


def test_a_scheme_survives_the_round_trip(observed, family, flat):
    scheme = QuantScheme.from_json(scheme_of(observed).to_json())
    again = prepare(flat(family)).eval()
    apply_scheme(again, scheme)
    assert scheme_of(again) == scheme
    tile = torch.rand(1, 1, *TILE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(again(tile), observed(tile))


def test_applying_a_scheme_ends_the_observation(observed):
    apply_scheme(observed, scheme_of(observed))
    assert not [q for q in quantizers(observed).values() if q.observing]


def test_a_scheme_of_another_student_is_refused(flat):
    graph = prepare(flat("mobilenetv3"))
    with pytest.raises(InputError, match="belongs to another student"):
        apply_scheme(graph, QuantScheme(activations={"elsewhere": 0.1}))


def changed(scheme: QuantScheme, **changes: float | None) -> QuantScheme:
    """The scheme with other scales; None takes one out."""
    scales = {**scheme.activations, **changes}
    return replace(scheme, activations={name: scale for name, scale in scales.items() if scale is not None})


def test_a_scheme_that_lacks_any_tensor_is_refused_by_its_name(observed):
    scheme = scheme_of(observed)
    for name in scheme.activations:
        with pytest.raises(InputError, match=f"no scale for tensor '{re.escape(name)}'; it was changed"):
            apply_scheme(observed, changed(scheme, **{name: None}))


def test_of_many_missing_tensors_the_first_are_named(observed):
    scheme = QuantScheme(activations={"input": 0.1})
    with pytest.raises(InputError, match=r"no scale for tensor '.*', '.*', '.*' and \d+ more; it was changed"):
        apply_scheme(observed, scheme)


def test_a_scheme_with_one_tensor_too_many_is_refused_by_its_name(observed):
    with pytest.raises(InputError, match="has a scale for 'nobody:relu', which the student does not have"):
        apply_scheme(observed, changed(scheme_of(observed), **{"nobody:relu": 0.1}))


def test_a_scheme_with_two_scales_for_tied_tensors_is_refused(observed):
    passed_on = [_named(node).meta["tensor"] for node in observed.graph.nodes if is_pass_through(node)]
    side_by_side = next((name for name in passed_on if name.endswith(":cat")), passed_on[0])
    scheme = changed(scheme_of(observed), **{side_by_side: 0.125})
    with pytest.raises(InputError, match=rf"{re.escape(side_by_side)} the scale 0\.125 and .*: give both the same"):
        apply_scheme(observed, scheme)


def test_a_scheme_of_another_range_is_refused(observed):
    with pytest.raises(InputError, match=r"The scheme rounds to \(\(0, 255\), \(-63, 63\)\)"):
        apply_scheme(observed, replace(scheme_of(observed), activation_range=(0, 255)))


def test_preparing_leaves_the_graph_as_it_was(flat):
    graph = flat("mobilenetv3")
    before = len(graph.graph.nodes)
    prepare(graph)
    assert len(graph.graph.nodes) == before
    assert not any(key.startswith("quantizers") for key in graph.state_dict())


def test_the_state_holds_the_scales(observed):
    state = observed.state_dict()
    found = [key for key in state if key.startswith("quantizers.") and key.endswith(".scale")]
    assert len(found) == len(quantizers(observed))
    assert all(math.isfinite(float(state[key])) for key in found)


def test_stopping_keeps_the_scales_while_training_goes_on(build):
    graph = prepare(flatten(build("mobilenetv3", squeeze_excite=False), TILE)).train()
    with torch.no_grad():
        graph(torch.rand(2, 1, *TILE))
        stop_observing(graph)
        before = scheme_of(graph)
        graph(5 * torch.rand(2, 1, *TILE))
    assert scheme_of(graph) == before


VALUES = {
    "of any sign": lambda: torch.randn(1000, generator=torch.Generator().manual_seed(0)),
    "never negative": lambda: torch.rand(1000, generator=torch.Generator().manual_seed(0)) * 4,
}


@pytest.mark.parametrize("kind", VALUES)
def test_training_rounds_by_the_scale_that_is_written(kind):
    quantizer, values = FakeQuantize(), VALUES[kind]()
    rounded = quantizer.train()(values)
    scale = np.float32(quantizer.scale)
    due = np.clip(np.rint(values.numpy() / scale), ACTIVATION_MIN, ACTIVATION_MAX) * scale
    np.testing.assert_array_equal(rounded.numpy(), due)


def test_evaluating_does_not_move_the_scale():
    quantizer = FakeQuantize().train()
    quantizer(torch.rand(10))
    before = float(quantizer.scale)
    quantizer.eval()(torch.rand(10) * 50)
    assert float(quantizer.scale) == before


@pytest.mark.parametrize(("kind", "zero_point"), [("of any sign", 0), ("never negative", -128)])
def test_torch_s_fused_observer_rounds_by_other_scales_than_its_symmetric_scheme_writes(kind, zero_point):
    """Why the scheme is not trained with it: torchao's conversion writes scale amax / 127.5 and zero-point 0.

    The operator that rounds in training widens a range of both signs to amax / 127 or / 128, and takes one that is
    never negative for asymmetric: half the scale, zero-point -128. torchao 0.18 rounds with this operator in training;
    students that it converted differed from the trained ones by up to 0.15 of probability. That this is the whole of
    the cause was concluded from the operator, and not shown on a converted student.
    """
    values = VALUES[kind]()
    low, high, scale = torch.tensor(torch.inf), torch.tensor(-torch.inf), torch.ones(1)
    zero, on = torch.zeros(1, dtype=torch.int32), torch.ones(1, dtype=torch.int64)
    torch.fused_moving_avg_obs_fake_quant(
        values, on, on, low, high, scale, zero, 0.05, -128, 127, 0, False, symmetric_quant=True
    )
    written = float(values.abs().max()) / 127.5
    assert int(zero) == zero_point
    assert float(scale) == pytest.approx(written / 2 if zero_point else written, rel=0.01)
    assert float(scale) != pytest.approx(written, rel=1e-4)
