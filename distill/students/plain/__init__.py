"""Lean U-Net on a small residual encoder of plain 3x3 convolutions (He et al. 2016, arXiv 1512.03385, fig. 2).

Depthwise convolutions save multiply-adds that int8 hardware does not wait for; plain ones of some width run at its
roof. So this encoder is shallow, and no wider than what a nucleus looks like needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.students import StudentFamily

if TYPE_CHECKING:
    from torch import nn

    from distill.networks.spec import StudentSpec


@dataclass(frozen=True)
class Plain(StudentFamily):
    """The fastest student: what is left when every operation must run at the roof of int8 hardware."""

    name: str = "plain"
    head_strides: tuple[int, ...] = (2, 4)
    encoder_from: int | None = 2

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        from distill.students.plain.network import build

        return build(spec)


STUDENT = Plain()
