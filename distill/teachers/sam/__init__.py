"""SAM (Kirillov et al. 2023, arXiv 2304.02643; Apache-2.0), shown several channels as colours and prompted.

Prompts: ``boxes`` of the labels (the oracle: they tell SAM where every cell ends), ``points`` in them (their
centroids), or a ``grid`` over the field, which needs no labels.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from distill.sam.options import SamOptions
from distill.sam.rgb import Rgb
from distill.teachers import TeacherKind

if TYPE_CHECKING:
    from distill.config.sections import TeacherSection
    from distill.teachers.sam.teacher import SamTeacher


class SamKind(TeacherKind):
    """See TeacherKind."""

    name = "sam"
    options = SamOptions

    def open(self, section: TeacherSection, options: SamOptions) -> SamTeacher:
        """The checkpoint, whose sha256 takes some seconds."""
        from distill.networks.devices import choose
        from distill.sam import checkpoint
        from distill.teachers.sam.teacher import SamTeacher

        choose(section.device)
        return SamTeacher(section, options, checkpoint.inspect(section.weights, options.size))

    def channels(self, options: SamOptions) -> tuple[str, ...]:
        """Those that are shown."""
        return Rgb.of(options.rgb).channels

    def nucleus_alone(self, options: SamOptions, prompts: str) -> dict[str, Any]:
        """As a grey picture; without prompts, a grid."""
        grey = replace(options, rgb=("nucleus",) * 3)
        if not prompts:
            return asdict(replace(grey, prompts="grid", confine=-1))
        return asdict(replace(grey, prompts="boxes", prompt_labels=prompts))


TEACHER = SamKind()
