"""The contract of every student family: what it builds computes tiles, and with them frames of any size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill import students
from distill.evaluation.predict import predictor
from distill.networks.spec import StudentSpec
from distill.student import validation
from runtime.errors import InputError

FRAME_TILE = (128, 128)


@pytest.fixture(scope="module", params=students.names())
def family(request):
    return students.load(request.param)


@pytest.fixture(scope="module")
def model(family, build):
    return build(family.name)


@pytest.fixture(scope="module")
def swin(build):
    return build("swin_tiny")


def test_a_family_is_called_like_its_file(family):
    assert students.load(family.name) is family
    assert family.name in students.names()


def test_the_usual_student_of_a_family_can_be_built(family, spec):
    validation.check(spec(family.name))


def test_an_unknown_family_is_refused_with_the_known_ones():
    with pytest.raises(
        InputError,
        match="choose one of efficientnet_b0, efficientnet_lite0, linknet, mobilenetv3, "
        "mobilenetv3_050, mobilenetv3_large, plain, resnet18, swin_tiny",
    ):
        students.load("giant")


@pytest.mark.parametrize("tile", [(64, 64), (32, 96), (32, 32)])
def test_tiles_of_any_multiple_of_the_stride_become_logits(family, model, tile):
    assert all(side % family.stride == 0 for side in tile)
    with torch.no_grad():
        logits = model(torch.rand(2, 1, *tile, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 2, *tile)
    assert logits.isfinite().all()
    assert logits.std() > 0


@pytest.mark.parametrize("outputs", [("foreground",), ("foreground", "core")])
def test_there_is_one_logit_per_output(family, outputs, spec):
    with torch.device("meta"):
        built = family.build(spec(family.name, outputs=outputs))
        assert built(torch.zeros(1, 1, 64, 64)).shape == (1, len(outputs), 64, 64)


def test_a_student_of_several_channels_reads_them_all(family, spec):
    channels = ("nucleus", "membrane", "cytoplasm")
    with torch.device("meta"):
        built = family.build(spec(family.name, channels=channels))
        assert built(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 1), np.uint8), ((37, 91), np.float32), ((300, 517), np.uint16), ((1, 400), np.uint16)]
)
def test_frames_of_odd_sizes_become_finite_maps_of_their_shape(model, family, shape, dtype):
    rng = np.random.default_rng(0)
    frame = (rng.random(shape) * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    maps = predictor(model, StudentSpec("tiny", family.name, tile=FRAME_TILE))(frame)
    assert maps.shape == (2, *shape)
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_swin_fits_itself_to_another_tile_without_touching_a_weight(swin):
    before = {name: value.clone() for name, value in swin.state_dict().items()}
    spec = StudentSpec("tiny", "swin_tiny", decoder=(8,) * 5, tile=(96, 160))
    due = students.load("swin_tiny").build(spec).eval()
    due.load_state_dict(before)
    tiles = torch.rand(1, 1, 96, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        swin(torch.zeros(1, 1, 64, 64))
        torch.testing.assert_close(swin(tiles), due(tiles))
    assert all(torch.equal(value, before[name]) for name, value in swin.state_dict().items())


def test_swin_s_windows_do_not_depend_on_the_tile():
    with torch.device("meta"):
        spec = StudentSpec("tiny", "swin_tiny", tile=(32, 32))
        small, large = (students.load("swin_tiny").build(replace(spec, tile=(side, side))) for side in (32, 512))
    shapes = [{name: value.shape for name, value in model.state_dict().items()} for model in (small, large)]
    assert shapes[0] == shapes[1]
