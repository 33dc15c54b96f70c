"""Lean students: a decoder that ends early, and a head that makes all pixels of a block at once."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill import students
from distill.int8.graph import aten, convolutions, flatten
from distill.int8.quantize import LOGIT_SCALE, is_output, is_stored, prepare, scheme_of, stop_observing, tied_tensors
from distill.networks.lean import LeanUNet, convolution
from distill.student.validation import check

TILE = (64, 64)
UNETS = ["efficientnet_lite0", "plain"]
LEAN = [name for name in students.names() if students.load(name).head_strides[0] != 1]


@pytest.fixture(scope="module", params=LEAN)
def flat(request, build):
    """The flat graph of a lean student."""
    return flatten(build(request.param), TILE)


def test_the_lean_families_are_there():
    assert sorted(["linknet", *UNETS]) == LEAN


@pytest.mark.parametrize("family", UNETS)
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize(("head_stride", "decoder"), [(2, (8, 8, 8, 8)), (2, (8, 8)), (4, (8, 8, 8)), (4, (8,))])
def test_logits_are_of_full_resolution(spec, family: str, separable: bool, head_stride: int, decoder: tuple[int, ...]):
    described = spec(family, head_stride=head_stride, decoder=decoder, separable=separable)
    with torch.device("meta"):
        model = students.load(family).build(described)
        features = model.encoder(torch.zeros(2, 1, 96, 64))
        assert len(features) == described.depth
        assert model.decoder(features).shape == (2, 8, 96 // head_stride, 64 // head_stride)
        assert model(torch.zeros(2, 1, 96, 64)).shape == (2, 2, 96, 64)


@pytest.mark.parametrize(("encoder", "decoder"), [((4, 6, 8), (6, 4)), ((4, 6, 8, 10), (5, 7, 9)), ((), (8,))])
@pytest.mark.parametrize("separable", [False, True])
def test_a_linknet_begins_and_ends_at_a_quarter(spec, encoder, decoder, separable: bool):
    described = spec("linknet", head_stride=4, encoder=encoder, decoder=decoder, separable=separable)
    check(described)
    model = students.load("linknet").build(described)
    image = torch.zeros(2, 1, 96, 64)
    assert model.encoder[0](image).shape[2:] == (24, 16)
    assert model(image).shape == (2, 2, 96, 64)
    same = [link for link in model.decoder if isinstance(link.lateral, torch.nn.Identity)]
    assert len(same) == sum(a == b for a, b in zip(encoder[-2::-1], decoder, strict=bool(encoder)))


def test_a_link_adds_what_an_unet_lays_beside_it(spec):
    model = students.load("linknet").build(spec("linknet", head_stride=4, encoder=(4, 6), decoder=(4,))).eval()
    link, feature = model.decoder[0], torch.rand(1, 4, 8, 8)
    seen = []
    link.smooth.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    link(torch.zeros(1, 6, 4, 4), feature)
    link(torch.zeros(1, 6, 4, 4), 0 * feature)
    torch.testing.assert_close(seen[0] - seen[1], feature)


def test_every_pixel_of_a_block_has_a_logit_of_its_own(spec):
    """Channel c * 4 + 2 * row + col of the head is the pixel (row, col) of output c: eq. 4 of Shi et al."""
    model = students.load("plain").build(spec("plain")).eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.arange(8.0))
        logits = model(torch.rand(1, 1, 64, 64))
    assert logits[0, 0, :2, 2:4].tolist() == [[0, 1], [2, 3]]
    assert logits[0, 1, 62:, :2].tolist() == [[4, 5], [6, 7]]


def test_a_skip_is_as_large_as_what_is_laid_beside_it(spec):
    """Every feature but the deepest goes into the decoder, and one finer than the head does not."""
    model = students.load("plain").build(spec("plain", head_stride=4, decoder=(8, 8), encoder=(3, 5, 7, 11)))
    below = {stage.mix[0].in_channels for stage in model.decoder.stages}
    assert isinstance(model, LeanUNet)
    assert below == {8 + 7, 8 + 5}


def test_separable_convolutions_are_depthwise_and_pointwise():
    depthwise, _, pointwise, *_ = convolution(6, 8, 3, separable=True)
    assert (depthwise.groups, depthwise.kernel_size, pointwise.groups, pointwise.kernel_size) == (6, (3, 3), 1, (1, 1))


@pytest.mark.parametrize("family", LEAN)
def test_a_separable_decoder_is_smaller_and_can_be_folded(build, family: str):
    full, small = build(family), build(family, separable=True)
    assert sum(p.numel() for p in small.decoder.parameters()) < sum(p.numel() for p in full.decoder.parameters())
    tile = torch.rand(1, 1, *TILE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(flatten(small, TILE)(tile), small(tile), rtol=1e-3, atol=1e-3)


def test_the_pixel_shuffle_has_the_scale_of_the_logits(flat):
    (shuffle,) = (node for node in flat.graph.nodes if node.target is aten.pixel_shuffle.default)
    head = shuffle.args[0]
    assert head is convolutions(flat)[-1]
    assert not is_stored(shuffle)
    groups = tied_tensors(flat)
    assert groups[shuffle.meta["tensor"]] == groups[head.meta["tensor"]] == head.meta["tensor"]
    scales = scheme_of(prepare(flat)).activations
    assert scales[shuffle.meta["tensor"]] == scales[head.meta["tensor"]] == LOGIT_SCALE


def test_the_head_alone_makes_the_output(flat):
    made = [node for node in flat.graph.nodes if node.op == "call_function" and is_output(node)]
    assert [node.target for node in made] == [aten.conv2d.default, aten.pixel_shuffle.default]


def test_int8_and_float_agree_loosely(flat):
    images = torch.rand(2, 1, *TILE, generator=torch.Generator().manual_seed(0))
    prepared = prepare(flat)
    with torch.no_grad():
        for _ in range(3):
            prepared.train()(images)
        stop_observing(prepared)
        ours, theirs = prepared.eval()(images), flat.eval()(images).clamp(-128 * LOGIT_SCALE, 127 * LOGIT_SCALE)
    assert ours.shape == theirs.shape == (2, 2, *TILE)
    apart = (ours.sigmoid() - theirs.sigmoid()).abs().numpy()
    assert 0 < np.mean(apart) < 0.05


def test_a_lean_student_is_saved_and_loaded(student, build, spec, tmp_path):
    from distill.student import student as files

    prepared = prepare(flatten(build("plain", encoder=(4, 6, 8, 10, 12)), TILE))
    with torch.no_grad():
        prepared.train()(torch.rand(2, 1, *TILE, generator=torch.Generator().manual_seed(0)))
    weights = files.graph_weights(prepared)
    lineage = replace(student.lineage, weights_sha256=files.weights_digest(weights))
    described = spec("plain", encoder=(4, 6, 8, 10, 12))
    lean = replace(student, spec=described, weights=weights, scheme=scheme_of(prepared), lineage=lineage)
    files.save(lean, tmp_path)
    loaded = files.load(tmp_path)
    assert loaded.spec == described
    tile = torch.rand(1, 1, *TILE)
    stop_observing(prepared)
    with torch.no_grad():
        assert torch.equal(loaded.quantized()(tile), prepared.eval()(tile))
        assert loaded.graph((96, 32))(torch.rand(1, 1, 96, 32)).shape == (1, 2, 96, 32)
