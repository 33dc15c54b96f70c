"""Error of the number of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import Metric

if TYPE_CHECKING:
    from .. import Comparison, Parts


class CountError(Metric):
    """See runtime.metrics.Metric."""

    name = "count_error"
    title = "count error"
    definition = (
        "Count error: |objects found - objects labelled| / objects labelled (where none is labelled: / 1), the mean "
        "over images; pooled: signed, of all objects together"
    )
    better = "lower"
    objects = True

    def parts(self, image: Comparison) -> Parts:
        """Objects found and objects labelled."""
        counts = image.matches[0]
        return counts.tp + counts.fp, counts.tp + counts.fn

    def of_image(self, parts: Parts) -> float:
        """At least 0; 0.1 is one object of ten too many or too few."""
        found, labelled = parts
        return abs(found - labelled) / max(1, labelled)

    def pooled(self, sums: Parts) -> float | None:
        """Signed: -0.1 is one object of ten too few; None where nothing is labelled."""
        found, labelled = sums
        return (found - labelled) / labelled if labelled else None


METRIC = CountError()
