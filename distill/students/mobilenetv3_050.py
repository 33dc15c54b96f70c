"""MobileNetV3-small at half of its width U-Net (Howard et al. 2019, arXiv 1905.02244)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.unet import unet

if TYPE_CHECKING:
    from torch import nn

    from distill.spec import StudentSpec


@dataclass(frozen=True)
class MobileNetV3Half:
    """Half as wide: the cheapest encoder of depthwise convolutions, with hard-swish."""

    name: str = "mobilenetv3_050"
    paper_parameters_m: float | None = None
    stride: int = 32
    no_int8: str | None = None
    head_strides: tuple[int, ...] = (1, 2, 4)
    encoder_from: int | None = None

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        return unet("tu-mobilenetv3_small_050", spec)


STUDENT = MobileNetV3Half()
