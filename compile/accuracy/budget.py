"""What a compiled student may lose, and what is said when it lost more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.errors import BudgetMissed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compile.accuracy.sensitivity import Sensitivity
    from runtime.artifact.manifest import Accuracy

MAX_DROP = 2.0  # Dice points below fp32 where no budget is given; a sound scheme loses a tenth of that
CONCENTRATED = 0.5  # of the error: a layer that takes away more than that is the culprit alone


class OverBudget(BudgetMissed):
    """A compiled student lost more than allowed.

    accuracy : of every target, as its manifest would have had it; sensitivity : where the error of int8 enters
    steps : what --precision auto tried, JSON-ready
    """

    def __init__(
        self,
        message: str,
        accuracy: Mapping[str, Accuracy],
        sensitivity: Sensitivity | None = None,
        steps: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.accuracy, self.sensitivity, self.steps = accuracy, sensitivity, steps

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for machines."""
        layers = None if self.sensitivity is None else self.sensitivity.to_dict()
        return {
            "refused": str(self),
            "accuracy": {target: one.to_dict() for target, one in self.accuracy.items()},
            "sensitivity": layers,
            "steps": list(self.steps),
        }


def over_budget(drops: Mapping[str, float], allowed: float | None) -> str | None:
    """The target that lost most, and that it is too much, in words; None when all hold the budget.

    drops : Dice points below fp32 by target; allowed : None for no budget
    """
    worst = max(drops, key=lambda target: drops[target])
    if allowed is None or drops[worst] <= allowed:
        return None
    return f"{worst} is {drops[worst]:.2f} Dice points below the fp32 student, more than the {allowed:g} allowed"


def remedy(found: Sensitivity | None) -> str:
    """Where the error enters and what to do, in words; without a sensitivity nothing was rounded to int8."""
    if found is None:
        return "check the student with python -m distill evaluate, or allow more with --max-drop"
    first = found.rows[0]
    where = (
        f"the error enters most at layer {first.layer}, which reads {first.reads}: rounded alone it moves "
        f"probabilities by {first.alone.difference:.4f}, of {found.whole.difference:.4f} in all"
    )
    if first.without.difference < CONCENTRATED * found.whole.difference:
        return f"{where}, and {first.without.difference:.4f} are left without it; keep it in float: --precision auto"
    return f"{where}; it is no single layer: train the quantised phase longer, or try --precision auto or fp16"
