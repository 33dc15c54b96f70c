"""An online teacher: it looks at the very crops that its student sees, and teaches all outputs, cores included.

What is stored of whole fields (distill.teaching.soft_labels) is the foreground, before the crop was turned, scaled,
blurred and made noisy. A teacher that is shown the same augmented crop as the student says more, the longer the
schedule (Beyer et al. 2022, arXiv 2106.05237). Of several teachers the mean of their probabilities is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from distill import teachers
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

    from distill.config.sections import TeacherSection
    from distill.networks.spec import StudentSpec
    from distill.student.student import Student


class OnlineTeacher(nn.Module):
    """Networks that answer (N, C, h, w) in [0, 1] with logits (N, outputs, h, w)."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> OnlineTeacher:
        """It has learnt already: its batch normalisation stays as it is."""
        return super().train(mode=False)

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities (N, outputs, h, w), float32, without a gradient."""
        with torch.no_grad():
            return torch.stack([member(image).float().sigmoid() for member in self.members]).mean(0)


def online_teacher(section: TeacherSection, spec: StudentSpec) -> OnlineTeacher | None:
    """The teacher that ``section`` names, where it looks at crops; InputError where it cannot teach ``spec``."""
    members = members_of(section, spec)
    return OnlineTeacher(member.graph(spec.tile) for member in members) if members else None


def is_online(section: TeacherSection) -> bool:
    """Whether the teacher looks at crops, in place of labelling whole fields once."""
    return bool(_folders(section))


def members_of(section: TeacherSection, spec: StudentSpec) -> list[Student]:
    """The students that ``section`` names, where they look at crops; InputError where one cannot teach ``spec``."""
    folders = _folders(section)
    if not folders:
        return []
    from distill.student.student import load

    members = [load(folder) for folder in folders]
    for member in members:
        for key in ("channels", "outputs", "normalization"):
            if getattr(member.spec, key) != getattr(spec, key):
                msg = (
                    f"The teacher {member.spec.name} has {key} {getattr(member.spec, key)} and the student "
                    f"{getattr(spec, key)}; a teacher that looks at crops needs the same (or let it look at fields)."
                )
                raise InputError(msg)
    return members


def _folders(section: TeacherSection) -> Sequence[str | Path]:
    if not section.name:
        return ()
    return teachers.load(section.name).online(section, teachers.options_of(section))
