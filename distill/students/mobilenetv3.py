"""MobileNetV3-small U-Net (Howard et al. 2019, arXiv 1905.02244; Ronneberger et al. 2015, arXiv 1505.04597)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import segmentation_models_pytorch as smp
from torch import nn

if TYPE_CHECKING:
    from distill.spec import StudentSpec


@dataclass(frozen=True)
class MobileNetV3:
    """The smallest student: depthwise encoder, squeeze-excite gates, hard-swish."""

    name: str = "mobilenetv3"
    paper_parameters_m: float = 1.5
    stride: int = 32

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build. Weights start at random: no model hub is asked."""
        student = smp.Unet(
            "tu-mobilenetv3_small_100",
            encoder_weights=None,
            in_channels=1,
            classes=len(spec.outputs),
            decoder_channels=spec.decoder,
        )
        if not spec.squeeze_excite:
            leave_out_squeeze_excite(student)
        return student


def leave_out_squeeze_excite(student: nn.Module) -> None:
    """Take the channel gates out of a timm encoder's blocks: on one pixel they cost more time than they give."""
    for module in student.modules():
        if isinstance(getattr(module, "se", None), nn.Module):
            module.se = nn.Identity()


STUDENT = MobileNetV3()
