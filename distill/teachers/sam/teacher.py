"""SAM as a teacher: the prompts of a field in, its probabilities out.

A field without objects is all background, and SAM is not asked.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from distill.networks.devices import choose
from distill.sam import checkpoint, prompts
from distill.sam.network import SamNetwork
from distill.sam.options import REMEDY
from distill.sam.rgb import SCALING, Rgb
from distill.teachers import Teacher
from runtime.errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from distill.config.sections import TeacherSection
    from distill.datasets import Sample
    from distill.sam.checkpoint import Checkpoint
    from distill.sam.network import Encoded
    from distill.sam.options import SamOptions


class SamTeacher(Teacher):
    """The network is loaded when it is asked for the first time."""

    name = "sam"
    licence = checkpoint.LICENCE

    def __init__(self, section: TeacherSection, options: SamOptions, weights: Checkpoint) -> None:
        self.options, self.checkpoint = options, weights
        self.rgb, self.device = Rgb.of(options.rgb), choose(section.device)
        self.half = section.half and self.device == "cuda"
        self.channels = self.rgb.channels
        self.needs_instances = options.prompts != "grid"

    def key(self) -> Mapping[str, str]:
        """Not in it: device, precision, batch and chunk, which change a probability by less than it is stored in."""
        return {
            "size": self.options.size,
            "weights": self.checkpoint.sha256,
            "rgb": str(self.rgb),
            "percentiles": f"{SCALING.low} to {SCALING.high}",
            "prompts": self.options.prompts_in_words,
        }

    def reference(self, sample: Sample) -> NDArray[np.int32] | None:
        """The labels that boxes and points are taken from."""
        return sample.labels_of(self.options.prompt_labels, REMEDY) if self.needs_instances else None

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
                f"The GPU's memory does not hold {len(images)} images and {self.options.chunk} prompts at once; "
                "set teacher.batch or teacher.options.chunk lower. What was labelled before is stored."
            )
            raise EdgescopeError(msg) from error
        return answers

    @cached_property
    def network(self) -> SamNetwork:
        """SAM on its device."""
        return SamNetwork(self.checkpoint.load(self.device), self.half)

    def _prompts(self, image: NDArray[Any], instances: NDArray[Any] | None) -> NDArray[np.float32]:
        if not self.needs_instances:
            return prompts.grid(image.shape[1:])
        if instances is None or instances.shape != image.shape[1:]:
            got = "none" if instances is None else f"{instances.shape} pixels of them"
            msg = (
                f"SAM is prompted with {self.options.prompts} of labels, and got {got} for a field of "
                f'{image.shape[1:]}; give labels of the field\'s size, or take teacher.options.prompts = "grid".'
            )
            raise InputError(msg)
        return prompts.boxes(instances) if self.options.prompts == "boxes" else prompts.points(instances)

    def _answer(self, encoded: Encoded, asked: NDArray[np.float32]) -> NDArray[np.float32]:
        chunk = self.options.chunk
        if self.options.prompts == "boxes":
            return self.network.from_boxes(encoded, asked, chunk, self.options.confine)
        if self.options.prompts == "points":
            return self.network.from_points(encoded, asked, chunk)
        return self.network.from_grid(encoded, asked, chunk)
