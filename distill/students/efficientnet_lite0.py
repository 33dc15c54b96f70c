"""Lean U-Net on EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946, in the variant for integer hardware).

The variant has no squeeze-excite gates and ReLU6 instead of SiLU; here ReLU, which every backend fuses.
Depthwise encoder with plain activations; ImageNet weights of it are at hand without a model hub.
"""

from __future__ import annotations

from distill.students import UNetFamily

STUDENT = UNetFamily(
    "efficientnet_lite0", encoder="tu-efficientnet_lite0", head_strides=(2, 4), encoder_weights=("imagenet",)
)
