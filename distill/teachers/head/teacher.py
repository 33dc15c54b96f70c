"""A head and the SAM under it as a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.networks.devices import choose
from distill.sam import checkpoint
from distill.sam import head as heads
from distill.sam.embeddings import Embeddings
from distill.sam.rgb import SCALING, Rgb
from distill.store import Store
from distill.teachers import Teacher
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from distill.config.sections import TeacherSection
    from distill.sam.head import Head
    from runtime.artifact.manifest import Lineage


class HeadTeacher(Teacher):
    """A head and the embeddings that it reads."""

    name = "head"

    def __init__(self, head: Head, lineage: Lineage, embeddings: Embeddings) -> None:
        self.head, self.lineage, self.embeddings = head.to(embeddings.device), lineage, embeddings
        self.channels = embeddings.rgb.channels
        self.licence = "; ".join(lineage.licences)

    def key(self) -> Mapping[str, str]:
        """The head, the SAM under it, and what it is shown."""
        return {
            "weights": self.lineage.weights_sha256,
            "sam": self.embeddings.checkpoint.sha256,
            "rgb": str(self.embeddings.rgb),
            "percentiles": f"{SCALING.low} to {SCALING.high}",
        }

    def probabilities(
        self, images: Sequence[NDArray[Any]], instances: Sequence[NDArray[Any] | None]
    ) -> list[NDArray[np.float32]]:
        """Fields share a pass of the encoder, unless their embeddings are stored."""
        return [heads.predict(self.head, one) for one in self.embeddings.of(images, ["a field"] * len(images))]


def open_head(section: TeacherSection, sam: str) -> HeadTeacher:
    """See HeadKind.open. sam : the checkpoint, or "" for the one that the head was trained with"""
    if not section.weights:
        msg = "teacher.weights is empty; name the folder of a head, which python -m distill head trains."
        raise InputError(msg)
    head, spec, lineage = heads.load(Path(section.weights).expanduser())
    weights = sam or spec.sam
    if not Path(weights).expanduser().is_file():
        msg = f"There is no {weights!r}, the SAM under the head in {section.weights}; set teacher.options.sam to it."
        raise InputError(msg)
    found = checkpoint.inspect(weights, spec.size)
    if found.sha256 != spec.sam_sha256:
        msg = (
            f"{weights} is not the SAM that the head in {section.weights} was trained on: its sha256 is "
            f"{found.sha256[:12]}..., not {spec.sam_sha256[:12]}...; set teacher.options.sam to that one."
        )
        raise InputError(msg)
    device = choose(section.device)
    half = section.half and device == "cuda"
    return HeadTeacher(head, lineage, Embeddings(found, Rgb.of(spec.rgb), Store(Path(section.store)), device, half))
