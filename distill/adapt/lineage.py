"""Where an adapted student comes from: the lab's images by their content, and what the student to begin with says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from distill.adapt.measure import BEGIN, TRAINED
from distill.student.student import weights_digest

if TYPE_CHECKING:
    from distill.adapt.survey import Survey
    from distill.student.student import Student
    from runtime.artifact.manifest import Lineage

MASKS = "unknown: of the segmenter that wrote the masks"


def adapted_lineage(student: Student, survey: Survey, best: str) -> Lineage:
    """The lineage of the student that is shipped.

    What trained or tuned it counts as seen, as the user's own frames (training read smaller copies of some).
    """
    used = [one for one in survey.fields if one.role != "bare"] if best != BEGIN else []
    licences = list(student.lineage.licences)
    if best == TRAINED and survey.of("taught"):
        licences.append(MASKS)
    return replace(
        student.lineage,
        weights_sha256=weights_digest(student.weights),
        trained_on=tuple(sorted({*student.lineage.trained_on, *(one.fingerprint for one in used)})),
        licences=tuple(dict.fromkeys(licences)),
        command="python -m distill adapt IMAGES --out DIR",
    )
