"""The training objective: at most one loss of each role, added up by a weighting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from distill import losses, weightings
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from distill.config.sections import LossSection
    from distill.losses import Loss, LossInput


class Objective(nn.Module):
    """The losses that a configuration names. Its parameters are the weighting's: learnt, and never decayed."""

    def __init__(self, section: LossSection) -> None:
        super().__init__()
        self.terms = terms_of(section)
        kinds = {role: loss.kind for role, loss in self.terms.items()}
        weights = {role: float(getattr(section, f"{role}_weight")) for role in self.terms}
        self.weighting = weightings.load(section.weighting).build(kinds, weights)

    def forward(self, batch: LossInput) -> tuple[Tensor, dict[str, Tensor]]:
        """The total, and each term by its role.

        Where no crop of the batch has labels, a term that needs them is left out: its weight would learn from nothing.
        """
        labels = bool(batch.labelled.any())
        found = {role: loss(batch) for role, loss in self.terms.items() if labels or _learns_from_teacher(loss, batch)}
        return (self.weighting(found) if found else batch.nothing()), found


def _learns_from_teacher(loss: Loss, batch: LossInput) -> bool:
    return loss.without_labels and batch.teacher is not None


def terms_of(section: LossSection) -> dict[str, Loss]:
    """The losses by role; InputError for a name that is unknown or of another role."""
    return {
        role: losses.load(name, role, getattr(section, f"{role}_options"))
        for role in losses.ROLES
        if (name := getattr(section, role))
    }


def check_teacher_used(teacher: str, terms: Mapping[str, Loss]) -> None:
    """InputError where a teacher is named that no loss listens to."""
    if teacher and not any(loss.without_labels for loss in terms.values()):
        msg = f"No loss listens to the teacher {teacher!r}; set loss.matching, for example to mse, or name no teacher."
        raise InputError(msg)
