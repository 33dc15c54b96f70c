"""What a survey found, in words. No torch: it is printed before torch is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distill.adapt.survey import Survey


def survey_lines(survey: Survey) -> list[str]:
    """What was found."""
    counts = {role: len(survey.of(role)) for role in ("labelled", "taught", "bare")}
    objects = {role: sum(one.objects for one in survey.of(role)) for role in ("labelled", "taught")}
    size = survey.diameter_px
    lines = [
        f"images: {len(survey.fields)}, of them {counts['labelled']} with labels, {counts['taught']} with masks of "
        f"another segmenter alone, {counts['bare']} with nothing",
        f"objects: {objects['labelled']} labelled, {objects['taught']} in masks"
        + ("" if size is None else f"; median diameter {size:.1f} px"),
    ]
    return lines + [f"warning: {warning}" for warning in survey.warnings]
