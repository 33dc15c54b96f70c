"""MobileNetV3-small at half of its width U-Net (Howard et al. 2019, arXiv 1905.02244).

Half as wide: the cheapest encoder of depthwise convolutions, with hard-swish.
"""

from __future__ import annotations

from distill.students import UNetFamily

STUDENT = UNetFamily("mobilenetv3_050", encoder="tu-mobilenetv3_small_050")
