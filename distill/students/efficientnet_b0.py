"""EfficientNet-B0 U-Net (Tan and Le 2019, arXiv 1905.11946; Ronneberger et al. 2015, arXiv 1505.04597)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import segmentation_models_pytorch as smp

if TYPE_CHECKING:
    from torch import nn

    from distill.spec import StudentSpec


@dataclass(frozen=True)
class EfficientNetB0:
    """Compound-scaled depthwise encoder with squeeze-excite gates and SiLU."""

    name: str = "efficientnet_b0"
    paper_parameters_m: float = 5.3
    stride: int = 32

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build. Weights start at random: no model hub is asked."""
        return smp.Unet(
            "tu-efficientnet_b0",
            encoder_weights=None,
            in_channels=1,
            classes=len(spec.outputs),
            decoder_channels=spec.decoder,
        )


STUDENT = EfficientNetB0()
