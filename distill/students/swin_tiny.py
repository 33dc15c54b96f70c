"""Swin-Tiny U-Net (Liu et al. 2021, arXiv 2103.14030): windowed attention below a convolutional decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distill.students import StudentFamily

if TYPE_CHECKING:
    from torch import Tensor, nn

    from distill.networks.spec import StudentSpec

DEPTHS = (2, 2, 6, 2)  # blocks of each stage; the windows of every second one are shifted
WINDOW = 7  # patches a side; a patch is 4 x 4 pixels


@dataclass(frozen=True)
class SwinTiny(StudentFamily):
    """The paper's largest student. Its windows are of 7 x 7 patches and shifted at every depth, whatever the tile.

    That is the arrangement for dense prediction of Swin's authors: feature maps that are no multiple of the window are
    padded. It makes the weights independent of the tile; the classifier's arrangement, a smaller window
    where the map is small, would tie them to one.
    """

    name: str = "swin_tiny"
    paper_parameters_m: float | None = 27.0
    no_int8: str | None = (
        "it is a transformer, and its layer normalisations, softmaxes and attention products, "
        "which int8 would have to round too, are known to lose accuracy by it"
    )
    head_strides: tuple[int, ...] = (1,)

    def build(self, spec: StudentSpec) -> nn.Module:
        """See StudentFamily.build."""
        from distill.networks.unet import unet

        student = unet(
            "tu-swin_tiny_patch4_window7_224",
            spec,
            img_size=spec.tile,
            depths=DEPTHS,
            window_size=WINDOW,
            always_partition=True,
        )
        student.encoder.model.register_forward_pre_hook(_fit_masks)
        return student


def _fit_masks(swin: Any, inputs: tuple[Tensor]) -> None:
    """Before tiles of another size are seen: make the attention masks of shifted windows anew. No weight changes.

    swin : timm's feature network; inputs : its arguments, one tensor (N, C, h, w)
    """
    size = tuple(inputs[0].shape[2:])
    if size == swin["patch_embed"].img_size:
        return
    swin["patch_embed"].set_input_size(img_size=size)
    height, width = swin["patch_embed"].grid_size
    for depth, stage in enumerate(module for name, module in swin.items() if name.startswith("layers")):
        factor = 2 ** max(depth - 1, 0)  # a stage is told the size of what it reads, and halves it, but for the first
        stage.set_input_size((height // factor, width // factor), WINDOW)


STUDENT = SwinTiny()
