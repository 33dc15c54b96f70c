"""MobileNetV3-large U-Net (Howard et al. 2019, arXiv 1905.02244).

Depthwise encoder with hard-swish, three times as large as the small one.
"""

from __future__ import annotations

from distill.students import UNetFamily

STUDENT = UNetFamily("mobilenetv3_large", encoder="tu-mobilenetv3_large_100")
