"""A larger U-Net that sees several channels: the teacher for people without SAM weights.

It is a student folder that ``python -m distill fit`` wrote, with ``student.channels`` = nucleus, membrane and what else
there is. Each plane is scaled between its own percentiles, over the whole field.

Or it is a folder of such folders, each trained without one part of the images (``data.fold``): then an image is
taught by those that have not seen it, known by its content, and their probabilities are averaged. What a network says
about its own training images is hardly more than their labels; out of fold it says what it would say of new ones.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from distill.config.sections import Section
from distill.datasets import frame_fingerprint
from distill.teachers import Teacher, TeacherKind
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from distill.config.sections import TeacherSection
    from distill.student.student import Student


@dataclass(frozen=True)
class UnetOptions(Section):
    """[teacher.options] of students with several channels."""

    looks_at: Literal["fields", "crops"] = "fields"
    """Whole fields, once, whose foreground is stored; or the very crops that the student sees, in every output."""


class Unet(Teacher):
    """One trained student, or several that speak for what they have not seen."""

    name = "unet"

    def __init__(self, members: Sequence[Student], device: str) -> None:
        self.members, self.device = members, device
        self.channels = members[0].spec.channels
        licences = dict.fromkeys(licence for member in members for licence in member.lineage.licences)
        self.licence = "; ".join(licences) or "unknown: its lineage names none"
        self._predictors: dict[int, Callable[[NDArray[Any]], NDArray[np.float32]]] = {}

    def key(self) -> Mapping[str, str]:
        """Weights, the spec (how planes are scaled and tiled), and what each of several has seen."""
        spec = json.dumps(self.members[0].spec.to_dict(), sort_keys=True).encode()
        found = {
            "weights": "+".join(member.lineage.weights_sha256 for member in self.members),
            "spec": hashlib.sha256(spec).hexdigest()[:12],
        }
        if len(self.members) > 1:
            seen = [list(member.lineage.trained_on) for member in self.members]
            found["seen"] = hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:12]
        return found

    def probability(self, image: NDArray[Any], instances: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """See Teacher.probability."""
        frame = frame_fingerprint(image[0])
        fresh = [place for place, member in enumerate(self.members) if frame not in member.lineage.trained_on]
        chosen = fresh or range(len(self.members))
        maps = [self._predictor(place)(image[0] if len(image) == 1 else image)[0] for place in chosen]
        return np.mean(maps, axis=0, dtype=np.float32)

    def _predictor(self, place: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        from distill.evaluation.predict import predictor

        if place not in self._predictors:
            member = self.members[place]
            self._predictors[place] = predictor(member.graph().to(self.device), member.spec, self.device)
        return self._predictors[place]


class UnetKind(TeacherKind):
    """See TeacherKind."""

    name = "unet"
    options = UnetOptions
    trained_by_studies = True

    def open(self, section: TeacherSection, options: UnetOptions) -> Unet:
        """The student's folder, checked against its digest."""
        from distill.networks.devices import choose
        from distill.student.student import load

        if not section.weights:
            msg = "teacher.weights is empty; name the folder of a student that fit trained with several channels."
            raise InputError(msg)
        members = [load(folder) for folder in folders_of(Path(section.weights).expanduser())]
        channels = members[0].spec.channels
        if any(member.spec.channels != channels for member in members):
            msg = f"The students in {section.weights} see different channels; give the folds of one teacher."
            raise InputError(msg)
        return Unet(members, choose(section.device))

    def online(self, section: TeacherSection, options: UnetOptions) -> Sequence[str | Path]:
        """The folders, where they look at crops."""
        return folders_of(Path(section.weights).expanduser()) if options.looks_at == "crops" else ()


def folders_of(weights: Path) -> list[str | Path]:
    """Folders of students: ``weights`` itself, or those in it; what is neither is left for `load` to explain."""
    folds = sorted(path.parent for path in weights.glob("*/student.json"))
    return [weights] if (weights / "student.json").exists() or not folds else [*folds]


TEACHER = UnetKind()
