"""The rows of a study: each is a change of the common configuration, and a sentence that says which.

A row names the teacher it needs: "multiplexed" sees all channels, "nuclear" the student's own channel alone. Which
weights that is, and the row's seed and share of labels, are filled in by `plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from distill.sections import LossSection
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from distill.config import Config
    from distill.sections import TeacherSection

TeacherKind = Literal["", "multiplexed", "nuclear"]


def _same(section: TeacherSection) -> TeacherSection:
    return section


def _nucleus(section: TeacherSection, prompts: str, labels: str = "cells") -> TeacherSection:
    """A teacher with prompts that sees the nucleus alone: SAM as a grey picture, CellSAM in the place it expects it."""
    rgb = ("blank", "nucleus", "blank") if section.name == "cellsam" else ("nucleus", "nucleus", "nucleus")
    return replace(section, rgb=rgb, prompts=prompts, prompt_labels=labels)


def _unprompted(section: TeacherSection) -> TeacherSection:
    return _nucleus(section, "none" if section.name == "cellsam" else "grid")  # CellSAM finds boxes itself


@dataclass(frozen=True)
class Row:
    """What one row changes.

    loss : the terms of its objective, and how they are weighted
    teacher : which one it needs, "" for none; show : what of the image and of the prompts that teacher is given
    prompted : whether the row makes sense only for a teacher that takes prompts
    """

    name: str
    title: str
    loss: LossSection
    teacher: TeacherKind = "multiplexed"
    show: Callable[[TeacherSection], TeacherSection] = _same
    prompted: bool = False

    def apply(self, config: Config) -> Config:
        """The configuration of this row."""
        section = self.show(config.teacher) if self.teacher else replace(config.teacher, name="")
        return replace(config, loss=self.loss, teacher=section)


LABELS_ALONE = LossSection()
PAPER = LossSection(matching="mse", boundary="gradient", weighting="kendall")
FIXED = LossSection(matching="mse", boundary="gradient")

ROWS = (
    Row("undistilled", "no distillation: labels alone", LABELS_ALONE, teacher=""),
    Row("paper", "the paper's objective: matching, boundary, learnt weights", PAPER),
    Row("matching", "matching only", LossSection(matching="mse")),
    Row("boundary", "boundary only (of the labels; no teacher)", LossSection(boundary="gradient"), teacher=""),
    Row("fixed", "matching and boundary, fixed weights", FIXED),
    Row("liebel", "matching and boundary, weights after Liebel", replace(PAPER, weighting="liebel")),
    Row("weightmap", "fixed weights, boundary: weight map", replace(FIXED, boundary="weightmap")),
    Row("kervadec", "fixed weights, boundary: signed distance, ramped in", replace(FIXED, boundary="kervadec")),
    Row("hinton", "rival: per-pixel Bernoulli KL", LossSection(matching="hinton")),
    Row("cwd", "rival: channel-wise distillation", LossSection(matching="cwd")),
    Row("pairwise", "rival: pair-wise affinity", LossSection(matching="pairwise")),
    Row("soft", "the teacher alone, no labels", LossSection(supervised="", matching="mse")),
    Row("nuclear-teacher", "control: the teacher sees the nucleus alone", PAPER, teacher="nuclear"),
    Row("blanked", "control: the membrane is blanked", PAPER, show=lambda s: replace(s, membrane="blank")),
    Row("shuffled", "control: the membrane of another image", PAPER, show=lambda s: replace(s, membrane="shuffled")),
    Row(
        "nucleus-cell-boxes",
        "control: nuclear pixels, boxes of whole cells (they leak the membrane's extent)",
        PAPER,
        show=lambda s: _nucleus(s, "boxes", "cells"),
        prompted=True,
    ),
    Row(
        "nucleus-nuclear-boxes",
        "control: nuclear pixels, boxes of nuclei",
        PAPER,
        show=lambda s: _nucleus(s, "boxes", "nuclei"),
        prompted=True,
    ),
    Row(
        "nucleus-unprompted",
        "control: nuclear pixels, no prompts from labels",
        PAPER,
        show=_unprompted,
        prompted=True,
    ),
)
TRIVIAL = "threshold"
TRIVIAL_TITLE = "trivial: threshold (Otsu) and dilate"


def names() -> tuple[str, ...]:
    """All rows that a study can name."""
    return (TRIVIAL, *(row.name for row in ROWS))


def load(name: str) -> Row:
    """The row of that name; InputError lists what there is."""
    for row in ROWS:
        if row.name == name:
            return row
    msg = f"Unknown row {name!r} in study.rows; choose among {', '.join(names())}."
    raise InputError(msg)
