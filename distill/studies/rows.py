"""The rows of a study: each is a change of the common configuration, and a sentence that says which.

A row names the teacher it needs: "multiplexed" sees all channels, "nuclear" the student's own channel alone. Which
weights that is, and the row's seed and share of labels, are filled in by `plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from distill import teachers
from distill.config.sections import LossSection, TeacherSection
from runtime.errors import InputError

if TYPE_CHECKING:
    from distill.config.sections import Config

TeacherKind = Literal["", "multiplexed", "nuclear"]


def nucleus_alone(section: TeacherSection, prompts: str) -> TeacherSection | None:
    """The teacher, shown the nucleus alone; see TeacherKind.nucleus_alone. None where it takes no prompts."""
    options = teachers.load(section.name).nucleus_alone(teachers.options_of(section), prompts)
    return None if options is None else replace(section, options=options)


@dataclass(frozen=True)
class StudyRow:
    """What one row changes.

    loss : the terms of its objective, and how they are weighted
    teacher : which one it needs, "" for none
    membrane : what that teacher is shown besides the nucleus, see TeacherSection
    prompts : the teacher sees the nucleus alone, and is prompted with boxes of "cells" or "nuclei", or not at all ("");
        None leaves it as it is
    few_labels : whether it is repeated with few labels; curve : what its curve over these is called in the figure
    """

    name: str
    title: str
    loss: LossSection
    teacher: TeacherKind = "multiplexed"
    membrane: Literal["own", "blank", "shuffled"] = "own"
    prompts: str | None = None
    few_labels: bool = False
    curve: str = ""

    def apply(self, config: Config) -> Config:
        """The configuration of this row."""
        section = config.teacher if self.teacher else TeacherSection()
        if self.membrane != "own":
            section = replace(section, membrane=self.membrane)
        if self.prompts is not None:
            section = nucleus_alone(section, self.prompts) or section
        return replace(config, loss=self.loss, teacher=section)


LABELS_ALONE = LossSection()
PAPER = LossSection(matching="mse", boundary="gradient", weighting="kendall")
FIXED = LossSection(matching="mse", boundary="gradient")

ROWS = (
    StudyRow(
        "undistilled", "no distillation: labels alone", LABELS_ALONE, teacher="", few_labels=True, curve="labels alone"
    ),
    StudyRow(
        "paper",
        "the paper's objective: matching, boundary, learnt weights",
        PAPER,
        few_labels=True,
        curve="the paper's objective",
    ),
    StudyRow("matching", "matching only", LossSection(matching="mse")),
    StudyRow("boundary", "boundary only (of the labels; no teacher)", LossSection(boundary="gradient"), teacher=""),
    StudyRow("fixed", "matching and boundary, fixed weights", FIXED),
    StudyRow("liebel", "matching and boundary, weights after Liebel", replace(PAPER, weighting="liebel")),
    StudyRow("weightmap", "fixed weights, boundary: weight map", replace(FIXED, boundary="weightmap")),
    StudyRow("kervadec", "fixed weights, boundary: signed distance, ramped in", replace(FIXED, boundary="kervadec")),
    StudyRow(
        "hinton",
        "rival: per-pixel Bernoulli KL",
        LossSection(matching="hinton"),
        few_labels=True,
        curve="Bernoulli KL",
    ),
    StudyRow("cwd", "rival: channel-wise distillation", LossSection(matching="cwd")),
    StudyRow("pairwise", "rival: pair-wise affinity", LossSection(matching="pairwise")),
    StudyRow("soft", "the teacher alone, no labels", LossSection(supervised="", matching="mse")),
    StudyRow("nuclear-teacher", "control: the teacher sees the nucleus alone", PAPER, teacher="nuclear"),
    StudyRow("blanked", "control: the membrane is blanked", PAPER, membrane="blank"),
    StudyRow("shuffled", "control: the membrane of another image", PAPER, membrane="shuffled"),
    StudyRow(
        "nucleus-cell-boxes",
        "control: nuclear pixels, boxes of whole cells (they leak the membrane's extent)",
        PAPER,
        prompts="cells",
    ),
    StudyRow(
        "nucleus-nuclear-boxes",
        "control: nuclear pixels, boxes of nuclei",
        PAPER,
        prompts="nuclei",
    ),
    StudyRow(
        "nucleus-unprompted",
        "control: nuclear pixels, no prompts from labels",
        PAPER,
        prompts="",
    ),
)
TRIVIAL = "threshold"
TRIVIAL_TITLE = "trivial: threshold (Otsu) and dilate"


def names() -> tuple[str, ...]:
    """All rows that a study can name."""
    return (TRIVIAL, *(row.name for row in ROWS))


def load(name: str) -> StudyRow:
    """The row of that name; InputError lists what there is."""
    for row in ROWS:
        if row.name == name:
            return row
    msg = f"Unknown row {name!r} in study.rows; choose among {', '.join(names())}."
    raise InputError(msg)
