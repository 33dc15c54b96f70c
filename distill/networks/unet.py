"""The U-Net that all convolutional students are: an encoder of timm, the decoder of segmentation-models-pytorch.

A student whose decoder ends before full resolution has the decoder of distill.networks.lean on the same encoder
instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import segmentation_models_pytorch as smp
from torch import nn

from distill.networks.lean import LeanUNet
from distill.networks.timm_features import TimmFeatures

if TYPE_CHECKING:
    from distill.networks.spec import StudentSpec

OF_TIMM = "tu-"  # how segmentation-models-pytorch marks the encoders that it takes from timm


def unet(encoder: str, spec: StudentSpec, **encoder_options: Any) -> nn.Module:
    """The channels of ``spec`` in, one logit per output out. Weights start at random: no model hub is asked.

    After Ronneberger et al. 2015, arXiv 1505.04597, with nearest-neighbour upsampling.
    encoder_options : what timm takes beyond the channels, for example img_size; of a stock decoder alone
    """
    student = _stock(encoder, spec, encoder_options) if spec.head_stride == 1 else _lean(encoder, spec)
    if not spec.squeeze_excite:
        _leave_out_squeeze_excite(student)
    return student


def _stock(encoder: str, spec: StudentSpec, encoder_options: dict[str, Any]) -> nn.Module:
    return smp.Unet(
        encoder,
        encoder_weights=None,
        in_channels=len(spec.channels),
        classes=len(spec.outputs),
        decoder_channels=spec.decoder,
        **encoder_options,
    )


def _lean(encoder: str, spec: StudentSpec) -> nn.Module:
    return LeanUNet(TimmFeatures(encoder.removeprefix(OF_TIMM), len(spec.channels), spec.depth), spec)


def _leave_out_squeeze_excite(student: nn.Module) -> None:
    """Take the channel gates out of the encoder's blocks: on one pixel they cost more time than they give."""
    for module in student.modules():
        if isinstance(getattr(module, "se", None), nn.Module):
            module.se = nn.Identity()
