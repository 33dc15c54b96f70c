"""What the teachers that stand on SAM can be told: how channels are shown, and what they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from distill.config.sections import Labels, Section, require

REMEDY = "choose among these in teacher.options.prompt_labels"  # where an image has no labels to prompt with


@dataclass(frozen=True)
class PromptOptions(Section):
    """[teacher.options] of a teacher that is prompted."""

    rgb: tuple[str, ...] = ("blank", "nucleus", "membrane")
    """Which channel is shown as red, green and blue; "blank" is black."""
    prompts: str = "boxes"
    """What it is asked about."""
    prompt_labels: Labels = "cells"
    """The labels that boxes and points are taken from."""
    confine: int = -1
    """Pixels by which a box is widened before its mask is confined to it; -1 does not confine."""
    chunk: int = 64
    """Prompts that are decoded together."""

    def __post_init__(self) -> None:
        require(self.chunk >= 1, f"chunk is {self.chunk}; it must be positive.")

    @property
    def prompts_in_words(self) -> str:
        """For the key of a soft label."""
        of = f" of {self.prompt_labels}" if self.prompts in ("boxes", "points") else ""
        confined = f" confined to {self.confine} px" if self.confine >= 0 else ""
        return f"{self.prompts}{of}{confined}"


@dataclass(frozen=True)
class SamOptions(PromptOptions):
    """[teacher.options] of SAM."""

    size: Literal["vit_b", "vit_l", "vit_h"] = "vit_h"
    """Of the image encoder."""

    def __post_init__(self) -> None:
        from distill.sam.rgb import Rgb

        super().__post_init__()
        require(
            self.prompts in ("boxes", "points", "grid"),
            f"prompts is {self.prompts!r}, and SAM answers prompts alone; choose boxes, points, grid, or train a head, "
            "which needs none: python -m distill head.",
        )
        require(
            self.confine < 0 or self.prompts == "boxes",
            f"confine is {self.confine}, but {self.prompts} have no box to confine to; set it to -1.",
        )
        Rgb.of(self.rgb)
