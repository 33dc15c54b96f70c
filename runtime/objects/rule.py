"""What a user changes of the rule by which an artefact makes masks and objects."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import InputError
from .instances import scaled_rule

if TYPE_CHECKING:
    from ..artifact.manifest import Objects


@dataclass(frozen=True)
class RuleChange:
    """In place of the artefact's own numbers; None leaves one as it is. InputError for a number out of its limits.

    threshold : of the foreground probability, over 0 and below 1
    min_area : of the smallest object, in pixels of the frame (the artefact's own is in those of the student)
    prominence : how far a summit of the core must rise over the pass to a higher one, over 0 and below 1: a larger one
        separates fewer objects; without effect for artefacts without a core
    """

    threshold: float | None = None
    min_area: int | None = None
    prominence: float | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            msg = f"The threshold is {self.threshold:g}; give a probability over 0 and below 1, for example 0.5."
            raise InputError(msg)
        if self.min_area is not None and not (math.isfinite(self.min_area) and self.min_area >= 0):
            msg = f"The smallest area is {self.min_area} pixels; give 0 or more, for example 30."
            raise InputError(msg)
        if self.prominence is not None and not 0 < self.prominence < 1:
            msg = f"The prominence is {self.prominence:g}; give a number over 0 and below 1, for example 0.1."
            raise InputError(msg)

    def over(self, other: RuleChange) -> RuleChange:
        """These changes, and where one is None, the other ones."""
        own = {name: value for name in self.__dataclass_fields__ if (value := getattr(self, name)) is not None}
        return replace(other, **own)

    def cut(self, threshold: float) -> float:
        """The mask threshold, in place of the artefact's."""
        return threshold if self.threshold is None else self.threshold

    def scaled(self, objects: Objects, factor: float) -> Objects:
        """The rule on the frame's grid, where the student saw the frame resized by `factor`."""
        if self.prominence is not None:
            objects = replace(objects, core_prominence=float(self.prominence))
        rule = scaled_rule(objects, factor)
        return rule if self.min_area is None else replace(rule, min_area=int(self.min_area))


UNCHANGED = RuleChange()
