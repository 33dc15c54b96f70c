"""EfficientNet-B0 U-Net (Tan and Le 2019, arXiv 1905.11946)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.unet import unet

if TYPE_CHECKING:
    from torch import nn

    from distill.spec import StudentSpec


@dataclass(frozen=True)
class EfficientNetB0:
    """Compound-scaled depthwise encoder with SiLU, and squeeze-excite gates where the spec keeps them."""

    name: str = "efficientnet_b0"
    paper_parameters_m: float = 5.3
    stride: int = 32
    no_int8: str | None = None
    head_strides: tuple[int, ...] = (1, 2, 4)
    encoder_from: int | None = None

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        return unet("tu-efficientnet_b0", spec)


STUDENT = EfficientNetB0()
