"""SAM (Kirillov et al. 2023, arXiv 2304.02643; Apache-2.0), shown several channels as colours and prompted.

Prompts: ``boxes`` of the labels (the oracle: they tell SAM where every cell ends), ``points`` in them, or a ``grid``
over the field, which needs no labels. A field without objects is all background, and SAM is not asked.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from distill.devices import choose
from distill.sam import checkpoint, prompts
from distill.sam.network import Network
from distill.sam.rgb import SCALING, Rgb
from distill.teachers import TeacherKind
from distill.views import labels_of
from runtime.errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from distill.datasets import Sample
    from distill.sam.checkpoint import Checkpoint
    from distill.sam.network import Encoded
    from distill.sections import TeacherSection

PROMPTS = ("boxes", "points", "grid")


class SamTeacher:
    """The network is loaded when it is asked for the first time."""

    name = "sam"
    licence = checkpoint.LICENCE

    def __init__(self, section: TeacherSection, weights: Checkpoint) -> None:
        self.section, self.checkpoint = section, weights
        self.rgb, self.device = Rgb.of(section.rgb), choose(section.device)
        self.channels = self.rgb.channels
        self.needs_instances = section.prompts != "grid"

    def key(self) -> Mapping[str, str]:
        """Not in it: device, precision, batch and chunk, which change a probability by less than it is stored in."""
        section = self.section
        of = f" of {section.prompt_labels}" if self.needs_instances else ""
        confined = f" confined to {section.confine} px" if section.confine >= 0 else ""
        return {
            "size": section.size,
            "weights": self.checkpoint.sha256,
            "rgb": str(self.rgb),
            "percentiles": f"{SCALING.low} to {SCALING.high}",
            "prompts": f"{section.prompts}{of}{confined}",
        }

    def reference(self, sample: Sample) -> NDArray[np.int32] | None:
        """The labels that boxes and points are taken from."""
        return labels_of(sample, self.section.prompt_labels) if self.needs_instances else None

    def probability(self, image: NDArray[Any], instances: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """See Teacher.probability."""
        return self.probabilities([image], [instances])[0]

    def probabilities(
        self, images: Sequence[NDArray[Any]], instances: Sequence[NDArray[Any] | None]
    ) -> list[NDArray[np.float32]]:
        """Fields with something to ask about share a pass of the encoder."""
        asked = [self._prompts(*pair) for pair in zip(images, instances, strict=True)]
        answers = [np.zeros(image.shape[1:], np.float32) for image in images]
        places = [place for place, prompt in enumerate(asked) if len(prompt)]
        if not places:
            return answers
        try:
            encoded = self.network.encode([self.rgb.picture(images[place]) for place in places])
            for place, one in zip(places, encoded, strict=True):
                answers[place] = self._answer(one, asked[place])
        except torch.OutOfMemoryError as error:
            msg = (
                f"The GPU's memory does not hold {len(images)} images and {self.section.chunk} prompts at once; "
                "set teacher.batch or teacher.chunk lower. What was labelled before is stored."
            )
            raise EdgescopeError(msg) from error
        return answers

    @cached_property
    def network(self) -> Network:
        """SAM on its device."""
        return Network(self.checkpoint.load(self.device), self.section.half and self.device == "cuda")

    def _prompts(self, image: NDArray[Any], instances: NDArray[Any] | None) -> NDArray[np.float32]:
        if not self.needs_instances:
            return prompts.grid(image.shape[1:])
        if instances is None or instances.shape != image.shape[1:]:
            got = "none" if instances is None else f"{instances.shape} pixels of them"
            msg = (
                f"SAM is prompted with {self.section.prompts} of labels, and got {got} for a field of "
                f'{image.shape[1:]}; give labels of the field\'s size, or take teacher.prompts = "grid".'
            )
            raise InputError(msg)
        return prompts.boxes(instances) if self.section.prompts == "boxes" else prompts.points(instances)

    def _answer(self, encoded: Encoded, asked: NDArray[np.float32]) -> NDArray[np.float32]:
        chunk = self.section.chunk
        if self.section.prompts == "boxes":
            return self.network.from_boxes(encoded, asked, chunk, self.section.confine)
        if self.section.prompts == "points":
            return self.network.from_points(encoded, asked, chunk)
        return self.network.from_grid(encoded, asked, chunk)


class SamKind(TeacherKind):
    """See TeacherKind."""

    name = "sam"

    def open(self, section: TeacherSection) -> SamTeacher:
        """Settings first, then the checkpoint, whose sha256 takes some seconds."""
        if section.prompts not in PROMPTS:
            msg = (
                f"teacher.prompts is {section.prompts!r}, and SAM answers prompts alone; choose {', '.join(PROMPTS)}, "
                "or train a head, which needs none: python -m distill head."
            )
            raise InputError(msg)
        if section.confine >= 0 and section.prompts != "boxes":
            msg = (
                f"teacher.confine is {section.confine}, but {section.prompts} have no box to confine to; set it to -1."
            )
            raise InputError(msg)
        if section.chunk < 1 or section.batch < 1:
            msg = f"teacher.chunk and teacher.batch must be positive, not {section.chunk} and {section.batch}."
            raise InputError(msg)
        Rgb.of(section.rgb)
        choose(section.device)
        return SamTeacher(section, checkpoint.inspect(section.weights, section.size))


TEACHER = SamKind()
