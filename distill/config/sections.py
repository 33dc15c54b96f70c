"""The sections of a training configuration: every key with its default, its meaning and its limits.

Limits that concern one section are in its `__post_init__`, whose messages begin with the key; files.py puts the
section's name before it. What plug-ins allow is asked in distill.settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from runtime.errors import InputError

Labels = Literal["nuclei", "cells"]
OUTPUTS = ("foreground", "core")


def require(holds: bool, message: str) -> None:
    """InputError with this message unless it holds."""
    if not holds:
        raise InputError(message)


@dataclass(frozen=True)
class Section:
    """Base of the sections. In a file, keys that are unknown and values of another type are refused."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True, "use_attribute_docstrings": True}


@dataclass(frozen=True)
class StudentSection(Section):
    """[student]: what is trained."""

    name: str = "student"
    """Name of the student, and of its folder in runs/."""
    family: str = "mobilenetv3"
    """Architecture: the name of a module in distill/students."""
    channels: tuple[str, ...] = ("nucleus",)
    """Channels of the image that it sees, the nucleus first. With several channels it can be a `unet` teacher."""
    decoder: tuple[int, ...] = (64, 48, 32, 24, 16)
    """Number of feature channels in each stage of the decoder, deepest stage first."""
    squeeze_excite: bool = True
    """Keep the squeeze-and-excitation blocks of the encoder."""
    encoder: tuple[int, ...] = ()
    """Number of feature channels in each stage of the encoder, finest stage first, for families that let you choose."""
    head_stride: int = 1
    """Resolution at which the decoder ends: 1 is full, 2 is half, 4 is a quarter."""
    separable: bool = False
    """Use depthwise separable convolutions in the decoder."""
    init_from: str = ""
    """Start from the weights of this student: a bundled student's name, or a student's folder. Convolutions of another
    shape start with random weights."""
    encoder_weights: str = ""
    """"imagenet" starts the encoder with ImageNet weights; empty starts it with random weights."""
    outputs: tuple[str, ...] = OUTPUTS
    """"foreground", and "core" to separate touching objects by their interior."""
    low_percentile: float = 1.0
    """Percentile of the frame's intensities that is scaled to 0."""
    high_percentile: float = 99.8
    """Percentile of the frame's intensities that is scaled to 1."""

    def __post_init__(self) -> None:
        check_channels(self.channels)
        if unknown := set(self.outputs) - set(OUTPUTS):
            msg = f"outputs holds {sorted(unknown)}; known outputs are foreground and core."
            raise InputError(msg)
        require(
            self.outputs[:1] == ("foreground",) and len(set(self.outputs)) == len(self.outputs),
            f"outputs is {list(self.outputs)}; foreground must come first, and nothing twice.",
        )
        require(
            0 <= self.low_percentile < self.high_percentile <= 100,
            f"low_percentile and high_percentile are {self.low_percentile:g} and {self.high_percentile:g}; the first "
            "must be below the second, both from 0 to 100.",
        )
        require(
            not (self.init_from and self.encoder_weights),
            f"init_from is {self.init_from!r}, and encoder_weights is set, too; leave one out.",
        )


def check_channels(channels: tuple[str, ...]) -> None:
    """InputError unless the nucleus comes first, and nothing twice."""
    require(
        channels[:1] == ("nucleus",) and len(set(channels)) == len(channels),
        f"channels is {list(channels)}; give nucleus first, and no channel twice.",
    )


@dataclass(frozen=True)
class DataSection(Section):
    """[data]: what is learnt from, as data specs NAME:PATH."""

    train: tuple[str, ...] = ()
    """Training sets, as data specs."""
    share: tuple[float, ...] = ()
    """Relative share of the crops from each training set. Default: equal shares."""
    validation: tuple[str, ...] = ()
    """Validation sets: thresholds are chosen and the student is scored on them."""
    labels: Labels = "nuclei"
    """Which objects to segment: nuclei, or whole cells."""
    fold: tuple[int, ...] = ()
    """[k, n] leaves out part k (from 0) of n equal parts of the training images, for teachers out of fold."""
    labelled: float = 1.0
    """Share of the training images whose labels are used, 0 to 1, at least one image of each set. The teacher teaches
    the other images; without a teacher they are not used."""
    taught: float = 0.5
    """Share of the crops that are cut from images without used labels, where there is a teacher."""
    crop: int = 256
    """Side of a training crop in pixels, a multiple of 32."""
    min_area: int = 12
    """Smallest object, in pixels of area. Smaller ones are dropped."""
    core: Literal["eroded", "distance"] = "eroded"
    """Definition of the core: the eroded object (0 or 1), or the distance to its outline (0 to 1)."""
    small_nuclei: float = 1.0
    """How many times more often fields of small objects are drawn; 1 treats all fields alike."""
    object_diameter: float = 0.0
    """Resize each field so that its median object has this diameter in pixels, before augment.scale. The student then
    works at this size of object, and the runtime resizes frames to it. 0 does not resize."""
    record: str = ""
    """Data spec of the tiles that are stored with the student as probes. Default: the validation data."""

    def __post_init__(self) -> None:
        if self.share:
            require(
                len(self.share) == len(self.train),
                f"share has {len(self.share)} values for {len(self.train)} training sets; give one each, or none.",
            )
            require(
                all(0 < share < math.inf for share in self.share),
                f"share is {list(self.share)}; give positive numbers, and take a set that is not wanted out.",
            )
        require(
            self.object_diameter == 0 or 4 <= self.object_diameter <= self.crop / 4,
            f"object_diameter is {self.object_diameter:g}; give 4 to {self.crop / 4:g} pixels, or 0 for none.",
        )
        require(
            self.crop > 0 and self.crop % 32 == 0, f"crop is {self.crop}; it must be a multiple of 32, for example 256."
        )
        require(
            0 < self.labelled <= 1,
            f"labelled is {self.labelled}; it is a share of the training images, over 0 and up to 1.",
        )
        require(
            not self.fold or (len(self.fold) == 2 and 0 <= self.fold[0] < self.fold[1] and self.fold[1] > 1),
            f"fold is {list(self.fold)}; give [k, n] with 0 <= k < n and n over 1, such as [0, 4].",
        )
        require(0 < self.taught < 1, f"taught is {self.taught}; it is a share of the crops, between 0 and 1.")
        require(
            0 < self.small_nuclei < math.inf,
            f"small_nuclei is {self.small_nuclei:g}; give a factor over 0, such as 2, where 1 switches it off.",
        )


@dataclass(frozen=True)
class TeacherSection(Section):
    """[teacher]: who teaches; left out, a student learns from labels alone."""

    name: str = ""
    """The teacher: the name of a module in distill/teachers. Empty: the student learns from labels alone."""
    weights: str = ""
    """What the teacher loads: a checkpoint, the folder of a student or head, or saved masks."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of this teacher, in [teacher.options]. Its module lists them."""
    batch: int = 1
    """Batch size of the teacher's network, in images."""
    membrane: Literal["own", "blank", "shuffled"] = "own"
    """The other channels that the teacher sees: those of the image, zeros, or those of another image. The last two are
    controls of a study."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device on which the teacher computes."""
    half: bool = True
    """Use half precision on a GPU."""
    store: str = "runs/soft-labels.zarr"
    """Folder in which the teacher's probabilities are stored. Students share it."""
    undistilled: tuple[str, ...] = ()
    """Folders of students trained on labels alone. `fit` compares the teacher with them."""

    def __post_init__(self) -> None:
        require(self.batch >= 1, f"batch is {self.batch}; it must be at least 1.")


@dataclass(frozen=True)
class LossSection(Section):
    """[loss]: at most one term of each role, and how they are weighted."""

    supervised: str = "dice_bce"
    """Loss against the labels: the name of a module in distill/losses; empty for none."""
    matching: str = ""
    """Loss against the teacher's probabilities; empty for none."""
    boundary: str = ""
    """Additional loss for outlines; empty for none."""
    weighting: str = "fixed"
    """How the losses are weighted: the name of a module in distill/weightings (fixed, kendall, liebel)."""
    supervised_weight: float = 1.0
    """Weight of the supervised loss: its value for `fixed`, its start for the others."""
    matching_weight: float = 1.0
    """Weight of the matching loss, as supervised_weight."""
    boundary_weight: float = 1.0
    """Weight of the boundary loss, as supervised_weight."""
    supervised_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the supervised loss."""
    matching_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the matching loss, such as {temperature = 4.0} for hinton."""
    boundary_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the boundary loss."""


@dataclass(frozen=True)
class AugmentSection(Section):
    """[augment]: random changes of each crop; zero or one switches a change off."""

    scale: float = 2.0
    """Resize by a random factor from 1/scale to scale (log-uniform)."""
    rotate: bool = True
    """Rotate by a random angle, and flip."""
    gamma: float = 1.8
    """Random exponent of the intensities, from 1/gamma to gamma."""
    contrast: float = 0.4
    """Largest random change of contrast and brightness, 0 to 1."""
    noise: float = 0.06
    """Largest standard deviation of the noise, as a share of the intensity range."""
    blur: float = 1.6
    """Largest standard deviation of the Gaussian blur, in pixels."""
    haze: float = 0.0
    """Largest height of an added smooth background, as from out-of-focus light."""
    texture: float = 0.0
    """Largest standard deviation of correlated noise, as in textured backgrounds and chromatin."""
    hot: float = 0.0
    """Largest share of single bright pixels, as from hot pixels and cosmic rays."""
    drop: float = 0.0
    """Probability with which a channel other than the first is set to zero, for teachers of several channels."""

    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {
        "scale": (1, 16), "gamma": (1, 16), "contrast": (0, 1), "noise": (0, 1), "blur": (0, 64), "haze": (0, 1),
        "texture": (0, 1), "hot": (0, 1), "drop": (0, 1),
    }  # fmt: skip

    def __post_init__(self) -> None:
        for key, (low, high) in self.LIMITS.items():
            value = getattr(self, key)
            require(low <= value <= high, f"{key} is {value:g}; give {low} to {high}, where {low} switches it off.")


@dataclass(frozen=True)
class PhaseSection(Section):
    """[float]: the first phase of training."""

    steps: int = 2000
    """Number of optimiser steps, a multiple of trainer.interval."""
    batch: int = 8
    """Batch size per device, in crops."""
    accumulate: int = 1
    """Number of batches whose gradients are added up for one optimiser step."""
    learning_rate: float = 2e-3
    """Largest learning rate, reached after the warm-up."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW."""
    warmup: float = 0.06
    """Share of the steps in which the learning rate rises, 0 to 1."""
    clip: float = 1.0
    """Largest gradient norm; 0 does not clip."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    """Number format of the training, as Lightning names it."""
    average: float = 0.0
    """Decay of the moving average of the weights, such as 0.999. The averaged weights are scored and kept. 0 does not
    average."""

    def __post_init__(self) -> None:
        require(
            0 <= self.average < 1,
            f"average is {self.average:g}; give 0 to switch it off, or a decay below 1, such as 0.999.",
        )
        for key in ("batch", "accumulate"):
            require(getattr(self, key) >= 1, f"{key} is {getattr(self, key)}; it must be at least 1.")
        require(0 < self.learning_rate < math.inf, f"learning_rate is {self.learning_rate:g}; it must be positive.")
        require(0 <= self.warmup <= 1, f"warmup is {self.warmup:g}; it is a share of the steps, 0 to 1.")
        for key in ("weight_decay", "clip"):
            require(0 <= getattr(self, key) < math.inf, f"{key} is {getattr(self, key):g}; it must not be negative.")


@dataclass(frozen=True)
class Int8Section(PhaseSection):
    """[qat]: the quantisation-aware phase."""

    steps: int = 400
    """Number of optimiser steps. 0 leaves the phase out; the student then runs in fp16 and fp32 only."""
    learning_rate: float = 2e-4
    """Largest learning rate, reached after the warm-up."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Number format of the training, as Lightning names it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.average, f"average is {self.average:g}, but int8 scales are averages already; leave it out.")


@dataclass(frozen=True)
class TrainerSection(Section):
    """[trainer]: how it is trained."""

    interval: int = 50
    """Number of steps between two checkpoints."""
    validate: int = 5
    """Number of intervals between two validations."""
    patience: int = 0
    """Stop the float phase after this many validations without a better Dice; 0 never stops it."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "cpu"
    """Hardware of the training, as Lightning names it."""
    crops: Literal["host", "device"] = "host"
    """Where crops are cut: on the host, or on the training device, which then does not wait for the host."""
    devices: int = 1
    """Number of devices in this machine (DDP)."""
    nodes: int = 1
    """Number of machines (DDP)."""
    threads: int = 0
    """Number of threads; 0 lets torch choose."""
    workers: int = 0
    """Number of processes that prepare crops; 0 prepares them in the training process."""

    LEAST: ClassVar[Mapping[str, int]] = {
        "interval": 1, "validate": 1, "devices": 1, "nodes": 1, "patience": 0, "threads": 0, "workers": 0
    }  # fmt: skip

    def __post_init__(self) -> None:
        for key, low in self.LEAST.items():
            require(getattr(self, key) >= low, f"{key} is {getattr(self, key)}; it must be at least {low}.")


@dataclass(frozen=True)
class TrainedTeacher(Section):
    """[study.teacher]: the teacher of several channels that a study trains where [teacher] names no weights."""

    family: str = "resnet18"
    """As student.family."""
    channels: tuple[str, ...] = ("nucleus", "membrane")
    """Channels that it sees, the nucleus first."""
    decoder: tuple[int, ...] = (128, 64, 32, 16, 16)
    """As student.decoder."""
    steps: int = 400
    """Number of optimiser steps."""
    learning_rate: float = 2e-3
    """Largest learning rate."""
    drop: float = 0.1
    """Probability with which a channel other than the nucleus is set to zero in training."""
    folds: int = 1
    """Train n teachers, each without one of n parts of the images. An image is then taught by the teacher that has not
    seen it. 1 trains a single teacher on all images."""

    def __post_init__(self) -> None:
        check_channels(self.channels)
        require(self.steps >= 1, f"steps is {self.steps}; it must be at least 1.")
        require(0 < self.learning_rate < math.inf, f"learning_rate is {self.learning_rate:g}; it must be positive.")
        require(0 <= self.drop <= 1, f"drop is {self.drop:g}; it is a share, from 0 to 1.")
        require(self.folds >= 1, f"folds is {self.folds}; it must be at least 1.")


@dataclass(frozen=True)
class StudySection(Section):
    """[study]: the rows of a controlled comparison; everything else in the file is what they have in common."""

    title: str = "Study"
    """Title of the table."""
    seeds: int = 3
    """Number of trainings of each row, each with another seed."""
    rows: tuple[str, ...] = ("threshold", "undistilled", "paper")
    """Names of the rows, from distill/studies/rows.py."""
    students: tuple[str, ...] = ()
    """Further student families, each with an undistilled and a distilled row."""
    fractions: tuple[float, ...] = ()
    """Shares of the training images that keep their labels, each with its own rows."""
    test: tuple[str, ...] = ()
    """Further data to score, for example of another collection."""
    block: int = 0
    """Side in pixels of the blocks in which frames are scored and resampled; 0 scores whole frames."""
    radii: tuple[int, ...] = (0, 2, 4, 6, 8, 10)
    """Radii in pixels that the row `threshold` tries for its dilation. The best one on the training images is used."""
    teacher: TrainedTeacher = field(default_factory=TrainedTeacher)

    def __post_init__(self) -> None:
        require(self.seeds >= 1, f"seeds is {self.seeds}; it must be at least 1.")
        require(self.block >= 0, f"block is {self.block}; it must be at least 0.")
        for key in ("rows", "students", "fractions", "radii"):
            values = getattr(self, key)
            require(
                len(set(values)) == len(values) and (bool(values) or key in ("students", "fractions")),
                f"{key} is {list(values)}; give at least one row and radius, and none of them twice.",
            )
        require(
            all(0 < share < 1 for share in self.fractions),
            f"fractions is {list(self.fractions)}; give shares between 0 and 1; 1 is always there.",
        )
        require(min(self.radii) >= 0, f"radii is {list(self.radii)}; give pixels, at least 0.")


@dataclass(frozen=True)
class Config(Section):
    """A whole training run. The same configuration and seed give the same weights on the same machine."""

    student: StudentSection = field(default_factory=StudentSection)
    data: DataSection = field(default_factory=DataSection)
    teacher: TeacherSection = field(default_factory=TeacherSection)
    loss: LossSection = field(default_factory=LossSection)
    augment: AugmentSection = field(default_factory=AugmentSection)
    float: PhaseSection = field(default_factory=PhaseSection)
    qat: Int8Section = field(default_factory=Int8Section)
    trainer: TrainerSection = field(default_factory=TrainerSection)
    study: StudySection = field(default_factory=StudySection)
    seed: int = 0
    """Seed of all random numbers."""

    def __post_init__(self) -> None:
        require(self.seed >= 0, f"seed is {self.seed}; it must be at least 0.")


def check_steps(key: str, steps: int, interval: int) -> None:
    """InputError where a phase is no whole number of intervals."""
    nearest = max(interval, round(steps / interval) * interval)
    require(
        steps >= 1 and steps % interval == 0,
        f"{key} is {steps}; it must be a multiple of trainer.interval {interval}; try {nearest}.",
    )
