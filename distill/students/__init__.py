"""The student families, by name: one module or folder each, and those of other distributions (see runtime.registry).

A family's module imports no torch outside `build`: what it allows is asked before anything is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from distill.networks.spec import StudentSpec


@dataclass(frozen=True)
class StudentFamily:
    """Base of what a plug-in offers as STUDENT. `name` and `build` are all that it must have.

    paper_parameters_m : millions, as arXiv 2606.00928 quotes them (the backbone); None where it has none
    stride : tile sides must be multiples of it
    no_int8 : why there is no int8 of it, as a clause without a full stop; None where there is
    head_strides : where its decoder may end, the usual one first: 1 full resolution, 2 half, 4 a quarter
    encoder_from : stride of the first of the features whose widths spec.encoder gives; None where it gives none
    encoder_weights : names of the weights that its encoder can begin with (see distill.networks.imagenet)
    """

    name: str
    paper_parameters_m: float | None = None
    stride: int = 32
    no_int8: str | None = None
    head_strides: tuple[int, ...] = (1, 2, 4)
    encoder_from: int | None = None
    encoder_weights: tuple[str, ...] = ()

    def build(self, spec: StudentSpec) -> nn.Module:
        """A module from (N, len(spec.channels), h, w) float32 in [0, 1] to logits (N, len(spec.outputs), h, w).

        spec : one that distill.student.validation.check has nothing against
        """
        raise NotImplementedError


@dataclass(frozen=True)
class UNetFamily(StudentFamily):
    """A U-Net on a known encoder. encoder : its name in segmentation_models_pytorch, "tu-" and timm's name of others"""

    encoder: str = ""

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        from distill.networks.unet import unet

        return unet(self.encoder, spec)


REGISTRY: Registry[StudentFamily] = Registry("students", __name__, "STUDENT")

names, load = REGISTRY.names, REGISTRY.load
