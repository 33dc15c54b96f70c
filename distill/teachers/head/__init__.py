"""SAM without prompts: a small head on its frozen embedding, trained by ``python -m distill head``.

``teacher.weights`` names the head's folder. How channels are shown as colours is the head's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distill.config.sections import Section
from distill.teachers import TeacherKind

if TYPE_CHECKING:
    from distill.config.sections import TeacherSection
    from distill.teachers.head.teacher import HeadTeacher


@dataclass(frozen=True)
class HeadOptions(Section):
    """[teacher.options] of a head."""

    sam: str = ""
    """The checkpoint of SAM under the head; left out: where it lay when the head was trained."""


class HeadKind(TeacherKind):
    """See TeacherKind."""

    name = "head"
    options = HeadOptions

    def open(self, section: TeacherSection, options: HeadOptions) -> HeadTeacher:
        """The head, with the very SAM that it was trained on."""
        from distill.teachers.head.teacher import open_head

        return open_head(section, options.sam)


TEACHER = HeadKind()
