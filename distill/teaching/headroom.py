"""Before hours are spent: can the teacher give more than the labels do?

A student cannot learn from its teacher what the teacher does not know. On held-out fields the teacher's Dice is set
against that of students that learnt from the labels alone, and their spread over seeds says what counts as more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distill.evaluation.evaluate import score
from distill.evaluation.predict import segmenting
from distill.student import student as student_files
from distill.teachers import Untaught
from runtime.metrics import HEADLINES, dice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.config.sections import Config
    from distill.datasets import Sample

HALF = 127  # of 255: a probability above one half


@dataclass(frozen=True)
class Headroom:
    """Mean Dice on the held-out fields: of the teacher, and of every undistilled student (one a seed).

    extra : whether images without labels are taught as well, from which a student may gain even without headroom
    """

    teacher: float
    undistilled: tuple[float, ...]
    fields: int
    extra: bool = False

    @property
    def points(self) -> float | None:
        """How much better the teacher is, in Dice points; None without undistilled students."""
        return 100 * (self.teacher - float(np.mean(self.undistilled))) if self.undistilled else None

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds of the undistilled students, in Dice points."""
        return 100 * float(np.std(self.undistilled, ddof=1)) if len(self.undistilled) > 1 else 0.0

    @property
    def is_nil(self) -> bool:
        """Whether the teacher is no better than the students by more than their spread."""
        return self.points is not None and self.points <= self.spread

    def sentence(self) -> str:
        """What is to be expected, and why."""
        head = f"headroom: the teacher reaches Dice {self.teacher:.4f} on {self.fields} held-out field(s)"
        if self.points is None:
            return (
                f"{head}; how much better that is than learning from the labels alone is not known: train a student "
                "without [teacher], and name its folder in teacher.undistilled"
            )
        rival = f"{np.mean(self.undistilled):.4f}"
        if len(self.undistilled) > 1:
            rival += f" +- {self.spread / 100:.4f} over {len(self.undistilled)} seeds"
        head += f", an undistilled student {rival}: {self.points:+.2f} points"
        if not self.is_nil:
            return f"{head}; that is the most that matching the teacher can give"
        tail = "; what remains is the images without labels, which it teaches as well" if self.extra else ""
        return (
            f"{head}. No gain is to be expected from matching it: on these fields it knows nothing that the labels do "
            f"not teach as well{tail}"
        )


def headroom(config: Config, samples: Sequence[Sample]) -> Headroom | None:
    """Measure the teacher and the students of teacher.undistilled on the held-out samples that it has an answer about.

    None without any: masks may have been saved of the training images alone.
    """
    from distill.teaching import soft_labels  # zarr, for those who have a teacher

    try:
        soft = soft_labels.obtain_some(config.teacher, samples)
    except Untaught:
        return None
    samples, planes = [samples[index] for index in soft], [*soft.values()]
    section, labels = config.teacher, config.data.labels
    students = [student_files.load(folder) for folder in section.undistilled]
    scores = tuple(
        score(segmenting(student.graph(), student.spec), student.spec, samples, labels).scores[HEADLINES[0]].mean
        for student in students
    )
    return Headroom(teacher_dice(planes, samples, labels), scores, len(samples), extra=config.data.labelled < 1)


def teacher_dice(planes: Sequence[NDArray[np.uint8]], samples: Sequence[Sample], labels: str) -> float:
    """Mean Dice over samples of the teacher's probability, planes uint8 (H, W), above one half."""
    pairs = zip(planes, samples, strict=True)
    return float(np.mean([dice(plane > HALF, sample.labels[labels] > 0) for plane, sample in pairs]))
