"""A teacher with an option of its own: it knows the labels, and says them the softer the larger `softness` is."""

from dataclasses import dataclass

import numpy as np

from distill.config.sections import Section, require
from distill.teachers import Teacher, TeacherKind


@dataclass(frozen=True)
class OracleOptions(Section):
    """[teacher.options] of the oracle."""

    softness: float = 0.1
    """What it leaves open, from 0 to under 0.5."""

    def __post_init__(self) -> None:
        require(0 <= self.softness < 0.5, f"softness is {self.softness:g}; it must be from 0 to under 0.5.")


class Oracle(Teacher):
    name = "oracle"
    licence = "CC0-1.0"
    channels = ("nucleus",)
    needs_instances = True

    def __init__(self, softness):
        self.softness = softness

    def reference(self, sample):
        return sample.labels["nuclei"]

    def key(self):
        return {"softness": str(self.softness)}

    def probability(self, image, instances=None):
        return np.where(instances > 0, 1 - self.softness, self.softness).astype(np.float32)


class OracleKind(TeacherKind):
    name = "oracle"
    options = OracleOptions

    def open(self, section, options):
        return Oracle(options.softness)


TEACHER = OracleKind()
