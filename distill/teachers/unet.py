"""A larger U-Net that sees several channels: the teacher for people without SAM weights.

It is a student folder that ``python -m distill fit`` wrote, with ``student.channels`` = nucleus, membrane and what else
there is. Each plane is scaled between its own percentiles, over the whole field.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from distill.datasets import Sample
    from distill.sections import TeacherSection
    from distill.student import Student


class Unet:
    """A trained student as a teacher."""

    name = "unet"
    needs_instances = False

    def __init__(self, student: Student, device: str) -> None:
        self.student, self.device = student, device
        self.channels = student.spec.channels
        self.licence = "; ".join(student.lineage.licences) or "unknown: its lineage names none"

    def key(self) -> Mapping[str, str]:
        """Weights, and the spec: how planes are scaled and tiled."""
        spec = json.dumps(self.student.spec.to_dict(), sort_keys=True).encode()
        return {"weights": self.student.lineage.weights_sha256, "spec": hashlib.sha256(spec).hexdigest()[:12]}

    def reference(self, sample: Sample) -> None:
        """It looks at pixels alone."""

    def probability(self, image: NDArray[Any], instances: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """See Teacher.probability."""
        return self._predict(image[0] if len(image) == 1 else image)[0]

    def probabilities(
        self, images: Sequence[NDArray[Any]], instances: Sequence[NDArray[Any] | None]
    ) -> list[NDArray[np.float32]]:
        """One by one: fields differ in size, and each is tiled anyway."""
        return [self.probability(image) for image in images]

    @cached_property
    def _predict(self) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        from distill.predict import predictor

        return predictor(self.student.graph().to(self.device), self.student.spec, self.device)


class UnetKind:
    """See TeacherKind."""

    name = "unet"

    def check(self, section: TeacherSection) -> str | None:
        """Reads the folder; builds no network."""
        try:
            self.open(section)
        except InputError as error:
            return str(error)
        return None

    def open(self, section: TeacherSection) -> Unet:
        """The student's folder, checked against its digest."""
        from distill.devices import choose
        from distill.student import load

        if not section.weights:
            msg = "teacher.weights is empty; name the folder of a student that fit trained with several channels."
            raise InputError(msg)
        return Unet(load(section.weights), choose(section.device))


TEACHER = UnetKind()
