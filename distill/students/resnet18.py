"""ResNet18 U-Net (He et al. 2015, arXiv 1512.03385)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.unet import unet

if TYPE_CHECKING:
    from torch import nn

    from distill.spec import StudentSpec


@dataclass(frozen=True)
class ResNet18:
    """Dense 3x3 convolutions and ReLU throughout; it has no squeeze-excite gates to leave out."""

    name: str = "resnet18"
    paper_parameters_m: float = 11.0
    stride: int = 32
    no_int8: str | None = None
    head_strides: tuple[int, ...] = (1, 2, 4)
    encoder_from: int | None = None

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        return unet("resnet18", spec)


STUDENT = ResNet18()
