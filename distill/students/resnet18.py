"""ResNet18 U-Net (He et al. 2015, arXiv 1512.03385).

Dense 3x3 convolutions and ReLU throughout; it has no squeeze-excite gates to leave out.
"""

from __future__ import annotations

from distill.students import UNetFamily

STUDENT = UNetFamily("resnet18", encoder="resnet18", paper_parameters_m=11.0)
