"""Which images are held out, how a student is trained, and for how long. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distill.config import files
from distill.config.sections import Config
from distill.student.inheritance import inherited
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from distill.adapt.survey import Survey
    from distill.student.description import Description

FOLDS = 3
HOLD_OUT_FROM = 30  # images with labels from which a third is held out once; fewer are cross-validated
FEW = 10  # scored images below which the gain is uncertain
FEWEST = 2  # images with labels
INTERVAL = 50  # steps between two checkpoints
STEPS = 150  # of the optimiser in float, by default
INT8_SHARE = 3  # one step of the int8 phase for so many in float
BATCH = 4
TAUGHT = 0.5  # how often an image labelled by another segmenter is drawn, relative to one labelled by a person


@dataclass(frozen=True)
class ValidationPlan:
    """How students are scored on images that they were not trained on.

    rounds : trainings, each with one of `folds` parts of the images held out
    images : with labels
    """

    images: int
    folds: int
    rounds: int

    @property
    def is_crossed(self) -> bool:
        """Whether each image is held out once."""
        return self.rounds == self.folds

    @property
    def trainings(self) -> int:
        """How many there are, that of the final student included."""
        return self.rounds + self.is_crossed

    def __str__(self) -> str:
        if self.is_crossed:
            return (
                f"cross-validation in {self.folds} parts: each of the {self.images} images is scored by a student that "
                "was not trained on it; the final student is trained on all of them"
            )
        return (
            f"one part in {self.folds} of the {self.images} images is held out, and the student trained on the others"
        )


def validation_of(survey: Survey) -> ValidationPlan:
    """What suits the images with labels; InputError where fewer than two of them hold an object."""
    images = len(survey.of("labelled"))
    with_objects = sum(one.objects > 0 for one in survey.of("labelled"))
    if with_objects < FEWEST:
        msg = (
            f"{with_objects} image(s) with labels that hold objects cannot say whether a student gets better; label at "
            f"least {FEWEST} images, better {FEW}."
        )
        raise InputError(msg)
    folds = min(FOLDS, with_objects)
    return ValidationPlan(images, folds, folds if images < HOLD_OUT_FROM else 1)


def starting_config(student: str, begin: Description, data: Mapping[str, Any], steps: int, seed: int = 0) -> Config:
    """The configuration of a fine-tuning.

    student : that it begins with; begin : what that one says; data : keys of [data]; steps : in float, of INTERVAL
    """
    more = {key: begin.config[key] for key in ("augment",) if key in begin.config}
    loss: dict[str, Any] = {"supervised_options": {"dice_outputs": 1}} if begin.core == "distance" else {}
    int8 = max(INTERVAL, round(steps / INT8_SHARE / INTERVAL) * INTERVAL) if begin.has_int8 else 0
    table = {
        "seed": seed,
        "student": {"init_from": student},
        "data": {"labels": begin.labels, "crop": begin.spec.tile[0], **data},
        "loss": loss,
        "float": {
            "steps": steps, "batch": BATCH, "learning_rate": 1e-3, "warmup": 0.1, "average": 0.98,
            "precision": "32-true",
        },
        "qat": {"steps": int8, "batch": BATCH},
        "trainer": {"interval": INTERVAL, "validate": max(1, steps // INTERVAL), "threads": 1, "workers": 1},
        **more,
    }  # fmt: skip
    return files.section_of(Config, inherited(table))


def config_of(
    begin: Description, student: str, name: str, data: Path, taught: tuple[int, int], part: str, steps: int, seed: int
) -> Config:
    """The configuration of one training of `adapt`.

    data : the folder of measure.write_data; taught : images with labels, and with another segmenter's masks
    part : "fold=0of3&part=train" or "part=all": which of the images with labels
    """
    labels = f"labels={begin.labels}"
    train = [f"folder:{data}/train?{labels}&{part}"]
    shares = [1.0]
    if taught[1]:
        train.append(f"folder:{data}/taught?{labels}&part=all")
        shares = [float(taught[0]), TAUGHT * taught[1]]
    section = {
        "train": train,
        "share": shares,
        "validation": [f"folder:{data}/labelled?{labels}&{part}"],
        "record": f"folder:{data}/train?{labels}&part=all",
    }
    config = starting_config(student, begin, section, steps, seed)
    return replace(config, student=replace(config.student, name=name))


def check_steps(steps: int) -> int:
    """The nearest number of steps that makes whole intervals; InputError below one step."""
    if steps < 1:
        msg = f"--steps is {steps}; give at least {INTERVAL}."
        raise InputError(msg)
    return max(INTERVAL, round(steps / INTERVAL) * INTERVAL)
