"""The factors that a weighting starts with, checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


def starting_factors(terms: Mapping[str, object], weights: Mapping[str, float] | None) -> dict[str, float]:
    """One factor for each term, 1 where ``weights`` has none.

    InputError without a term, for a weight of an unknown term, and for one that is negative or no finite number.
    """
    if not terms:
        msg = "There is no loss to weight; name at least one."
        raise InputError(msg)
    weights = weights or {}
    _check_known(weights, terms)
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            msg = f"The weight of the loss {name!r} is {weight}; it must be a finite number, at least 0."
            raise InputError(msg)
    return {name: float(weights.get(name, 1.0)) for name in terms}


def check_step(losses: Collection[str], terms: Collection[str]) -> None:
    """InputError when a step brings no loss at all, or one that is not among ``terms``."""
    if not losses:
        msg = f"This step has no loss to learn from; give at least one of {', '.join(terms)}."
        raise InputError(msg)
    _check_known(losses, terms)


def _check_known(named: Iterable[str], terms: Iterable[str]) -> None:
    if unknown := sorted(set(named) - set(terms)):
        msg = f"No loss to be weighted is called {', '.join(unknown)}; there are {', '.join(terms)}."
        raise InputError(msg)
