"""The U-Net of all convolutional students: with the stock decoder, and with one that ends before full resolution."""

from dataclasses import replace

import pytest
import torch

from distill import students
from distill.networks.lean import LeanUNet
from distill.networks.spec import StudentSpec

LEAN = StudentSpec("lean", "mobilenetv3", decoder=(16, 8), head_stride=2, tile=(64, 64))
ENCODERS = ("efficientnet_b0", "mobilenetv3", "mobilenetv3_050", "mobilenetv3_large", "resnet18")


@pytest.mark.parametrize("family", ENCODERS)
@pytest.mark.parametrize(("head_stride", "decoder"), [(2, (16, 8)), (2, (32, 16, 8, 8)), (4, (16,)), (4, (32, 16, 8))])
def test_every_encoder_carries_a_lean_decoder(family: str, head_stride: int, decoder: tuple[int, ...]):
    spec = replace(LEAN, family=family, head_stride=head_stride, decoder=decoder)
    with torch.device("meta"):
        model = students.load(family).build(spec)
        assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 2, 64, 64)
    assert isinstance(model, LeanUNet)


def test_a_lean_decoder_keeps_hard_swish_and_leaves_gates_out_where_it_is_told():
    for squeeze_excite in (True, False):
        with torch.device("meta"):
            model = students.load("mobilenetv3").build(replace(LEAN, squeeze_excite=squeeze_excite))
        kinds = {type(module).__name__ for module in model.modules()}
        assert ("SqueezeExcite" in kinds) == squeeze_excite
        assert "Hardswish" in kinds
