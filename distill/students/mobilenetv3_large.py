"""MobileNetV3-large U-Net (Howard et al. 2019, arXiv 1905.02244)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.unet import unet

if TYPE_CHECKING:
    from torch import nn

    from distill.spec import StudentSpec


@dataclass(frozen=True)
class MobileNetV3Large:
    """Depthwise encoder with hard-swish, three times as large as the small one."""

    name: str = "mobilenetv3_large"
    paper_parameters_m: float | None = None
    stride: int = 32
    no_int8: str | None = None
    head_strides: tuple[int, ...] = (1, 2, 4)
    encoder_from: int | None = None

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        return unet("tu-mobilenetv3_large_100", spec)


STUDENT = MobileNetV3Large()
