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
    """What it is called, and its folder below runs/."""
    family: str = "mobilenetv3"
    """A module of distill/students."""
    channels: tuple[str, ...] = ("nucleus",)
    """Planes of the image that it sees, nucleus first; more than one makes a teacher for distill/teachers/unet.py."""
    decoder: tuple[int, ...] = (64, 48, 32, 24, 16)
    """Channels of the decoder's stages, deepest first."""
    squeeze_excite: bool = True
    """Whether the encoder keeps its channel gates."""
    encoder: tuple[int, ...] = ()
    """Channels of the encoder's stages, finest first, where the family leaves them open."""
    head_stride: int = 1
    """Resolution at which the decoder ends: 1 full, 2 half, 4 a quarter."""
    separable: bool = False
    """Whether the decoder's convolutions are depthwise and pointwise ones."""
    init_from: str = ""
    """A bundled student's name or a student's folder, whose weights the training begins with where convolutions are
    alike: to go on with one's own images, or with another decoder."""
    encoder_weights: str = ""
    """"imagenet" begins with the weights of distill/networks/imagenet.py; left out, with random ones."""
    outputs: tuple[str, ...] = OUTPUTS
    """"foreground", and "core" where objects are told apart by their interior."""
    low_percentile: float = 1.0
    """Of the frame's intensities: what becomes 0."""
    high_percentile: float = 99.8
    """Of the frame's intensities: what becomes 1."""

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
    """Training data."""
    share: tuple[float, ...] = ()
    """How often each training set is drawn from, relative to the others; all alike by default."""
    validation: tuple[str, ...] = ()
    """Data on which thresholds are chosen and the student is scored."""
    labels: Labels = "nuclei"
    """Which objects: nuclei or cells."""
    fold: tuple[int, ...] = ()
    """[k, n] leaves the k-th of n equal parts of the training images out, from 0: for out-of-fold teachers."""
    labelled: float = 1.0
    """Share of the training images whose labels are used, at least one image of each set; the others are left out
    without a teacher, and taught by its probabilities with one."""
    taught: float = 0.5
    """Share of the crops that are drawn from those images, where there is a teacher."""
    crop: int = 256
    """Pixels a side of a training crop, a multiple of 32."""
    min_area: int = 12
    """Objects smaller than this many pixels are not counted or kept."""
    core: Literal["eroded", "distance"] = "eroded"
    """What a core is: each object's interior, 0 or 1, or the distance to its outline."""
    small_nuclei: float = 1.0
    """How much more often than others a field is drawn whose objects are small."""
    object_diameter: float = 0.0
    """Pixels: each field is resized so that its median object has this diameter, before augment.scale; 0 leaves the
    fields as they are. The student then works at this size of object (see runtime.frames.scale)."""
    record: str = ""
    """Spec of the tiles that travel with the student as probes; its validation data by default."""

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
    """A module of distill/teachers."""
    weights: str = ""
    """What the teacher is made of: a checkpoint, a student's or a head's folder, or saved masks."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What this teacher alone has: [teacher.options]; see its module."""
    batch: int = 1
    """Images that share a pass of the teacher's network."""
    membrane: Literal["own", "blank", "shuffled"] = "own"
    """What it is shown besides the nucleus: the image's own planes, zeros, or those of another image: the controls of
    a study."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes."""
    half: bool = True
    """Half precision where the device is a GPU."""
    store: str = "runs/soft-labels.zarr"
    """Folder of the soft labels, reused by every student."""
    undistilled: tuple[str, ...] = ()
    """Folders of students that learnt from the labels alone: `fit` says what the teacher is better at."""

    def __post_init__(self) -> None:
        require(self.batch >= 1, f"batch is {self.batch}; it must be at least 1.")


@dataclass(frozen=True)
class LossSection(Section):
    """[loss]: at most one term of each role, and how they are weighted."""

    supervised: str = "dice_bce"
    """A module of distill/losses that learns from labels; "" leaves it out."""
    matching: str = ""
    """One that learns from the teacher."""
    boundary: str = ""
    """One that cares for outlines."""
    weighting: str = "fixed"
    """A module of distill/losses/weighting: fixed, kendall or liebel."""
    supervised_weight: float = 1.0
    """Factor of `fixed`, and what the others begin with."""
    matching_weight: float = 1.0
    """As supervised_weight."""
    boundary_weight: float = 1.0
    """As supervised_weight."""
    supervised_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of that loss."""
    matching_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of that loss, such as {temperature = 4.0} of hinton."""
    boundary_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of that loss."""


@dataclass(frozen=True)
class AugmentSection(Section):
    """[augment]: random changes of each crop; zero or one switches a change off."""

    scale: float = 2.0
    """Resize factors are drawn between 1/scale and scale (log-uniform)."""
    rotate: bool = True
    """Turn and mirror."""
    gamma: float = 1.8
    """Exponent between 1/gamma and gamma."""
    contrast: float = 0.4
    """Largest change of contrast and brightness."""
    noise: float = 0.06
    """Largest standard deviation of noise, in intensity."""
    blur: float = 1.6
    """Largest standard deviation of blur, in pixels."""
    haze: float = 0.0
    """Largest height of a smooth background that is added, as from out-of-focus light."""
    texture: float = 0.0
    """Largest standard deviation of correlated noise: a textured background, and chromatin inside nuclei."""
    hot: float = 0.0
    """Largest share of single bright pixels, as a camera's hot pixels and cosmic rays make them."""
    drop: float = 0.0
    """How often a channel besides the first is blanked, for teachers that see several."""

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
    """Steps of the optimiser, a multiple of trainer.interval."""
    batch: int = 8
    """Crops of one device in one pass."""
    accumulate: int = 1
    """Passes that make one step of the optimiser."""
    learning_rate: float = 2e-3
    """Its largest value, after the warm-up."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    warmup: float = 0.06
    """Share of the steps in which the learning rate rises."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    """Lightning's."""
    average: float = 0.0
    """Decay of a moving average of the weights, such as 0.999, which is what is scored and kept; 0 keeps the last
    weights."""

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
    """As in [float]; 0 leaves the phase out: such a student runs in fp16 and fp32."""
    learning_rate: float = 2e-4
    """As in [float]."""
    weight_decay: float = 0.0
    """Of AdamW."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Lightning's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.average, f"average is {self.average:g}, but int8 scales are averages already; leave it out.")


@dataclass(frozen=True)
class TrainerSection(Section):
    """[trainer]: how it is trained."""

    interval: int = 50
    """Steps after which a checkpoint is written."""
    validate: int = 5
    """Intervals after which the student is scored."""
    patience: int = 0
    """Validations without a better Dice after which the float phase stops early; 0 never stops it."""
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "cpu"
    """Lightning's."""
    crops: Literal["host", "device"] = "host"
    """Where crops are cut: on the host, or on the device that trains, which does not wait for the host then."""
    devices: int = 1
    """Processes of one machine; over one they train together (DDP)."""
    nodes: int = 1
    """Machines."""
    threads: int = 0
    """Of torch; 0 leaves them to torch."""
    workers: int = 0
    """Processes that prepare crops."""

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
    """What it sees."""
    decoder: tuple[int, ...] = (128, 64, 32, 16, 16)
    """As student.decoder."""
    steps: int = 400
    """Of its training."""
    learning_rate: float = 2e-3
    """Of its training."""
    drop: float = 0.1
    """How often a channel besides the nucleus is blanked in training."""
    folds: int = 1
    """With n over 1, n teachers are trained, each without one part of the training images, and an image is taught by
    those that have not seen it."""

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
    """Over its table."""
    seeds: int = 3
    """How often each row is trained."""
    rows: tuple[str, ...] = ("threshold", "undistilled", "paper")
    """Names of distill/studies/rows.py."""
    students: tuple[str, ...] = ()
    """Further families, each with its own undistilled and distilled row."""
    fractions: tuple[float, ...] = ()
    """Shares of the training images that keep their labels, each with rows of its own."""
    test: tuple[str, ...] = ()
    """Data that are scored besides the validation images, for example of another collection."""
    block: int = 0
    """Frames are scored in blocks of this many pixels a side, the units of the bootstrap; 0 scores them whole."""
    radii: tuple[int, ...] = (0, 2, 4, 6, 8, 10)
    """Candidates of the trivial row, threshold and dilate, in pixels; the best one on the training images counts."""
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
    """Of everything that is drawn."""

    def __post_init__(self) -> None:
        require(self.seed >= 0, f"seed is {self.seed}; it must be at least 0.")


def check_steps(key: str, steps: int, interval: int) -> None:
    """InputError where a phase is no whole number of intervals."""
    nearest = max(interval, round(steps / interval) * interval)
    require(
        steps >= 1 and steps % interval == 0,
        f"{key} is {steps}; it must be a multiple of trainer.interval {interval}; try {nearest}.",
    )
