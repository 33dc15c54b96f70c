"""CellSAM (Israel et al. 2025, Nature Methods; vanvalenlab/cellSAM), a SAM for cells that finds its own boxes.

Its licence allows non-commercial academic use alone, so nothing of it is in here: the user installs the package and
downloads the weights, and a student of it inherits the licence through its lineage.

Prompts: ``none`` asks CellSAM's own detector for boxes, ``boxes`` takes those of the labels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from distill.config.sections import require
from distill.sam.options import PromptOptions
from distill.teachers import TeacherKind

if TYPE_CHECKING:
    from distill.config.sections import TeacherSection
    from distill.teachers.cellsam.teacher import CellSam


@dataclass(frozen=True)
class CellSamOptions(PromptOptions):
    """[teacher.options] of CellSAM."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.prompts in ("boxes", "none"),
            f"prompts is {self.prompts!r}; CellSAM takes boxes, or none for those of its own detector.",
        )
        rgb = self.rgb
        require(
            len(rgb) == 3 and rgb[0] == "blank" and rgb[1] in ("nucleus", "blank") and set(rgb) != {"blank"},
            f"rgb is {list(rgb)}; CellSAM was trained on blank, nuclear, whole-cell in this order: "
            '["blank", "nucleus", "membrane"], or ["blank", "nucleus", "blank"] without a membrane.',
        )


class CellSamKind(TeacherKind):
    """See TeacherKind."""

    name = "cellsam"
    options = CellSamOptions

    def open(self, section: TeacherSection, options: CellSamOptions) -> CellSam:
        """Package and weights, each with what to do where it is missing."""
        from distill.teachers.cellsam.teacher import open_cellsam

        return open_cellsam(section, options)

    def channels(self, options: CellSamOptions) -> tuple[str, ...]:
        """Those that are shown."""
        return tuple(name for name in options.rgb if name != "blank")

    def nucleus_alone(self, options: CellSamOptions, prompts: str) -> dict[str, Any]:
        """In the place where it expects the nucleus; without prompts it finds boxes itself."""
        rgb = ("blank", "nucleus", "blank")
        labels = prompts or options.prompt_labels
        return asdict(replace(options, rgb=rgb, prompts="boxes" if prompts else "none", prompt_labels=labels))


TEACHER = CellSamKind()
