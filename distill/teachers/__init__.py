"""The teachers, by name: one module or folder each, and those of other distributions (see runtime.registry).

A teacher sees planes of an image that a student does not, and says where the objects are. What it says is computed
once, by distill.teaching.soft_labels, and never asked of it again. A plug-in's module imports no torch: its options are
checked before anything is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distill.config.files import section_of
from distill.config.sections import Section
from runtime.errors import InputError
from runtime.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from distill.config.sections import TeacherSection
    from distill.datasets import Sample


class Untaught(InputError):
    """The teacher has no answer about this image; it may have one about others of the same set."""


class Teacher:
    """Base of a teacher that is loaded and ready: `key`, and `probability` or `probabilities`, are all it must have.

    licence : of its weights: a student takes it over
    channels : planes of an image that `probability` takes, in this order
    needs_instances : whether it is prompted with instance labels
    """

    name: str
    licence: str
    channels: tuple[str, ...]
    needs_instances: bool = False

    def reference(self, sample: Sample) -> NDArray[Any] | None:
        """What it is given about a sample besides the planes: labels for prompts, a saved mask; None where nothing.

        InputError where the sample lacks it; Untaught where images may lack it, which are then left out. It goes to
        `probability` as `instances`, and its content into the key.
        """
        return None

    def key(self) -> Mapping[str, str]:
        """All that a probability depends on besides image and instances: weights' sha256, mapping, settings."""
        raise NotImplementedError

    def probability(self, image: NDArray[Any], instances: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """Foreground probability of one field.

        image : (C, H, W), the planes of `channels`, uint8, uint16 or float32, as the data set holds them
        instances : (H, W) labels that prompts are taken from, 0 is background; None for a teacher without prompts
        Returns float32 (H, W) in [0, 1].
        """
        return self.probabilities([image], [instances])[0]

    def probabilities(
        self, images: Sequence[NDArray[Any]], instances: Sequence[NDArray[Any] | None]
    ) -> list[NDArray[np.float32]]:
        """The same for several fields: one by one, unless a teacher lets them share a pass of its network."""
        return [self.probability(*pair) for pair in zip(images, instances, strict=True)]


@dataclass(frozen=True)
class NoOptions(Section):
    """A teacher that has none."""


class TeacherKind:
    """Base of what a plug-in offers as TEACHER. `open` is all that it must have.

    options : the dataclass of its keys in [teacher.options], with their limits; a subclass of Section
    trained_by_studies : whether a study trains it where [teacher] names no weights
    """

    name: str
    options: type[Section] = NoOptions
    trained_by_studies: bool = False

    def open(self, section: TeacherSection, options: Any) -> Teacher:
        """Load it; InputError for weights that are missing, damaged or of another teacher. options : `self.options`"""
        raise NotImplementedError

    def channels(self, options: Any) -> tuple[str, ...]:
        """The planes that the options name; () where they name none, and only the opened teacher knows."""
        return ()

    def nucleus_alone(self, options: Any, prompts: str) -> dict[str, Any] | None:
        """For the controls of a study: the options with which it sees the nucleus alone.

        prompts : boxes of "cells" or of "nuclei", or "" for none; None for a teacher that takes no prompts
        """
        return None

    def online(self, section: TeacherSection, options: Any) -> Sequence[str | Path]:
        """Students that look at the very crops that the student sees; () where whole fields are labelled once."""
        return ()


REGISTRY: Registry[TeacherKind] = Registry("teachers", __name__, "TEACHER")

names, load = REGISTRY.names, REGISTRY.load


def options_of(section: TeacherSection) -> Any:
    """The options of the teacher that a section names, checked; InputError names the key."""
    return section_of(load(section.name).options, section.options, "teacher.options")


def open_teacher(section: TeacherSection) -> Teacher:
    """The teacher that a section names; see TeacherKind.open."""
    if not section.name:
        msg = f"The configuration names no teacher; add [teacher] name = one of {', '.join(names())}."
        raise InputError(msg)
    return load(section.name).open(section, options_of(section))
