"""MobileNetV3-small U-Net (Howard et al. 2019, arXiv 1905.02244)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.unet import unet

if TYPE_CHECKING:
    from torch import nn

    from distill.spec import StudentSpec


@dataclass(frozen=True)
class MobileNetV3:
    """The smallest student: depthwise encoder, hard-swish, squeeze-excite gates where the spec keeps them."""

    name: str = "mobilenetv3"
    paper_parameters_m: float = 1.5
    stride: int = 32
    no_int8: str | None = None
    head_strides: tuple[int, ...] = (1, 2, 4)
    encoder_from: int | None = None

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        return unet("tu-mobilenetv3_small_100", spec)


STUDENT = MobileNetV3()
