"""MobileNetV3-small U-Net (Howard et al. 2019, arXiv 1905.02244).

The smallest student: depthwise encoder, hard-swish, squeeze-excite gates where the spec keeps them.
"""

from __future__ import annotations

from distill.students import UNetFamily

STUDENT = UNetFamily("mobilenetv3", encoder="tu-mobilenetv3_small_100", paper_parameters_m=1.5)
