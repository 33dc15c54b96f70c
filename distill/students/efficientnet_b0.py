"""EfficientNet-B0 U-Net (Tan and Le 2019, arXiv 1905.11946).

Compound-scaled depthwise encoder with SiLU, and squeeze-excite gates where the spec keeps them.
"""

from __future__ import annotations

from distill.students import UNetFamily

STUDENT = UNetFamily("efficientnet_b0", encoder="tu-efficientnet_b0", paper_parameters_m=5.3)
