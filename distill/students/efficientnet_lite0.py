"""Lean U-Net on EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946, in the variant for integer hardware).

The variant has no squeeze-excite gates and ReLU6 instead of SiLU; here ReLU, which every backend fuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.unet import unet

if TYPE_CHECKING:
    from torch import nn

    from distill.spec import StudentSpec


@dataclass(frozen=True)
class EfficientNetLite0:
    """Depthwise encoder with plain activations; ImageNet weights of it are at hand without a model hub."""

    name: str = "efficientnet_lite0"
    paper_parameters_m: float | None = None
    stride: int = 32
    no_int8: str | None = None
    head_strides: tuple[int, ...] = (2, 4)
    encoder_from: int | None = None

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        return unet("tu-efficientnet_lite0", spec)


STUDENT = EfficientNetLite0()
