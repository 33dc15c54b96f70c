"""The teachers: one file each, and the file's name is the teacher's name. Listing the names imports none of them.

A teacher sees planes of an image that a student does not, and says where the objects are. What it says is computed
once, by distill.soft_labels, and never asked of it again.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from runtime.errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from distill.datasets import Sample
    from distill.sections import TeacherSection


class Teacher(Protocol):
    """A teacher that is loaded and ready."""

    name: str
    licence: str  # of its weights: a student takes it over
    channels: tuple[str, ...]  # planes of an image that `probability` takes, in this order
    needs_instances: bool  # whether it is prompted with instance labels

    def reference(self, sample: Sample) -> NDArray[Any] | None:
        """What it is given about a sample besides the planes: labels for prompts, a saved mask; None where nothing.

        InputError where the sample lacks it. It goes to `probability` as `instances`, and its content into the key.
        """
        ...

    def key(self) -> Mapping[str, str]:
        """All that a probability depends on besides image and instances: weights' sha256, mapping, settings."""
        ...

    def probability(self, image: NDArray[Any], instances: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        """Foreground probability of one field.

        image : (C, H, W), the planes of `channels`, uint8, uint16 or float32, as the data set holds them
        instances : (H, W) labels that prompts are taken from, 0 is background; None for a teacher without prompts
        Returns float32 (H, W) in [0, 1].
        """
        ...

    def probabilities(
        self, images: Sequence[NDArray[Any]], instances: Sequence[NDArray[np.int32] | None]
    ) -> list[NDArray[np.float32]]:
        """The same for several fields, which may share a pass of the network."""
        ...


class TeacherKind(Protocol):
    """What a file of this folder offers as ``TEACHER``: a subclass that says its name and how it is opened."""

    name: str

    def check(self, section: TeacherSection) -> str | None:
        """Why this teacher cannot be opened here, with the next step; None when it can. Loads no network."""
        try:
            self.open(section)
        except EdgescopeError as error:
            return str(error)
        return None

    def open(self, section: TeacherSection) -> Teacher:
        """Load it; InputError for weights that are missing, damaged or of another teacher."""
        ...


def names() -> list[str]:
    """Names of the teachers there are; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> TeacherKind:
    """The kind of teacher called ``name``; InputError when there is none."""
    if name not in names():
        msg = f"Unknown teacher {name!r}; choose one of {', '.join(names())}."
        raise InputError(msg)
    return import_module(f".{name}", __package__).TEACHER
