"""LinkNet (Chaurasia & Culurciello 2017, arXiv 1707.03718), from a quarter of the resolution to a quarter of it.

One strided convolution takes the image to a quarter of its resolution at once (as the overlapping patches of Xie et al.
2021, arXiv 2105.15203), and the decoder adds the encoder's features to its own instead of putting them beside each
other: its convolutions then have half of the inputs, and little is left that is no wide convolution, which is what int8
hardware is fast at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.students import StudentFamily

if TYPE_CHECKING:
    from torch import nn

    from distill.networks.spec import StudentSpec


@dataclass(frozen=True)
class LinkNetFamily(StudentFamily):
    """Few and wide convolutions: the most that int8 hardware does in a given time."""

    name: str = "linknet"
    head_strides: tuple[int, ...] = (4,)
    encoder_from: int | None = 4

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build. Decoder widths that are the encoder's in reverse need no lateral convolutions."""
        from distill.students.linknet.network import LinkNet

        return LinkNet(spec)


STUDENT = LinkNetFamily()
