"""The sections of a training configuration, with their defaults; config.py reads them from a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StudentSection:
    """[student]: what is trained. `family` names a file of distill/students.

    channels : planes of the image that it sees; more than one makes a teacher for distill/teachers/unet.py
    encoder, head_stride, separable : see distill.spec.StudentSpec
    begin_with : a bundled student's name or a student's folder, whose weights the training begins with where
        convolutions are alike: to go on with one's own images, or with another decoder (see distill.begin)
    encoder_weights : "imagenet" begins with the weights of distill/imagenet.py; left out, with random ones
    """

    name: str = "student"
    family: str = "mobilenetv3"
    channels: tuple[str, ...] = ("nucleus",)
    decoder: tuple[int, ...] = (64, 48, 32, 24, 16)
    squeeze_excite: bool = True
    encoder: tuple[int, ...] = ()
    head_stride: int = 1
    separable: bool = False
    begin_with: str = ""
    encoder_weights: str = ""
    outputs: tuple[str, ...] = ("foreground", "core")
    low_percentile: float = 1.0
    high_percentile: float = 99.8


@dataclass(frozen=True)
class DataSection:
    """[data]: data specs (NAME:PATH). `share` is how often each training set is drawn from, relative to the others.

    labels : "nuclei" or "cells"; objects smaller than `min_area` pixels are not counted or kept
    fold : (k, n) leaves the k-th of n equal parts of the training images out, from 0: for out-of-fold teachers
    labelled : share of the training images whose labels are used, at least one image of each set; the others are
        left out without a teacher, and taught by its probabilities with one
    taught : share of the crops that are drawn from those images, where there is a teacher
    core : what a core is: "eroded" (each object's interior, 0 or 1) or "distance" (see distill.targets)
    small_nuclei : how much more often than others a field is drawn whose objects are small (distill.crops.SMALL_PX)
    record : spec of the tiles that travel with the student as probes (default: its validation data)
    """

    train: tuple[str, ...] = ()
    share: tuple[float, ...] = ()
    validation: tuple[str, ...] = ()
    labels: str = "nuclei"
    fold: tuple[int, ...] = ()
    labelled: float = 1.0
    taught: float = 0.5
    crop: int = 256
    min_area: int = 12
    core: str = "eroded"
    small_nuclei: float = 1.0
    record: str = ""


@dataclass(frozen=True)
class TeacherSection:
    """[teacher]: who teaches. `name` names a file of distill/teachers; left out, a student learns from labels alone.

    weights : what the teacher is made of: a checkpoint of SAM or CellSAM, the folder of a student with several
        channels (unet), of a trained head (head), or of saved masks (masks: PATH, probability:PATH or labels:KIND)
    size : of SAM: vit_b, vit_l or vit_h
    rgb : which channel is shown to SAM as red, green and blue; "blank" is black, ["grey"] is the luma of all channels
    prompts : boxes (of the labels: the oracle), points (their centroids), grid (automatic) or none
    prompt_labels : the labels that boxes and points are taken from: cells or nuclei
    confine : pixels by which a box is widened before its mask is confined to it; -1 does not confine
    chunk : prompts that are decoded together; batch : images that share a pass of the encoder
    sam : the checkpoint of SAM under a head; left out: the one that it was trained with, where that lay
    soften : standard deviation in pixels by which saved masks are blurred; 0 leaves them hard
    licence : of saved masks, which do not say theirs
    membrane : own, blank (zeros) or shuffled (of another image): the controls of a study
    device : auto, cpu or cuda; half : half precision where the device is a GPU
    looks_at : "fields", whole and once (the foreground is stored), or "crops", the very ones that the student sees,
        in every output (unet alone; see distill.tutor)
    store : folder of the soft labels, reused by every student
    undistilled : folders of students that learnt from the labels alone: `fit` says what the teacher is better at
    """

    name: str = ""
    weights: str = ""
    size: str = "vit_h"
    rgb: tuple[str, ...] = ("blank", "nucleus", "membrane")
    prompts: str = "boxes"
    prompt_labels: str = "cells"
    confine: int = -1
    chunk: int = 64
    batch: int = 1
    sam: str = ""
    soften: float = 0.0
    licence: str = ""
    membrane: str = "own"
    device: str = "auto"
    half: bool = True
    looks_at: str = "fields"
    store: str = "runs/soft-labels.zarr"
    undistilled: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossSection:
    """[loss]: the terms, each a file of distill/losses ("" leaves one out), and how they are weighted.

    weighting : a file of distill/losses/weighting: fixed, kendall or liebel
    *_weight : factors of `fixed`, and what the others begin with
    *_options : options of a loss, such as {temperature = 4.0} of hinton
    """

    supervised: str = "dice_bce"
    matching: str = ""
    boundary: str = ""
    weighting: str = "fixed"
    supervised_weight: float = 1.0
    matching_weight: float = 1.0
    boundary_weight: float = 1.0
    supervised_options: Mapping[str, object] = field(default_factory=dict)
    matching_options: Mapping[str, object] = field(default_factory=dict)
    boundary_options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class AugmentSection:
    """[augment]: random changes of each crop; zero or one switches a change off.

    scale : resize factors are drawn between 1/scale and scale (log-uniform)
    gamma : exponent between 1/gamma and gamma; noise, blur : largest standard deviation (intensity, pixels)
    haze : largest height of a smooth background that is added, as from out-of-focus light
    drop : how often a channel besides the first is blanked, for teachers that see several
    """

    scale: float = 2.0
    rotate: bool = True
    gamma: float = 1.8
    contrast: float = 0.4
    noise: float = 0.06
    blur: float = 1.6
    haze: float = 0.0
    drop: float = 0.0


@dataclass(frozen=True)
class PhaseSection:
    """[float] and [qat]: one phase of training. `precision` is Lightning's; `warmup` a share of the steps.

    batch : crops of one device in one pass; accumulate : passes that make one step of the optimiser
    average : decay of a moving average of the weights, such as 0.999, which is what is scored and kept; 0 keeps the
        last weights ([float] only: the scales of int8 are averages already)
    steps : 0 leaves the phase out ([qat] only: such a student runs in fp16 and fp32)
    """

    steps: int = 2000
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.06
    clip: float = 1.0
    precision: str = "bf16-mixed"
    average: float = 0.0

    @classmethod
    def for_int8(cls) -> PhaseSection:
        """The defaults of the quantisation-aware phase."""
        return cls(steps=400, learning_rate=2e-4, weight_decay=0.0, precision="32-true")


@dataclass(frozen=True)
class TrainerSection:
    """[trainer]: every `interval` steps a checkpoint is written; every `validate` intervals the student is scored.

    devices, nodes : processes of one machine, and machines; over one they train together (DDP)
    crops : where they are cut: on the "host", or on the "device" that trains, which does not wait for the host then
    patience : validations without a better Dice after which the float phase stops early; 0 never stops it
    """

    interval: int = 50
    validate: int = 5
    patience: int = 0
    accelerator: str = "cpu"
    crops: str = "host"
    devices: int = 1
    nodes: int = 1
    threads: int = 0
    workers: int = 0


@dataclass(frozen=True)
class TrainedTeacher:
    """[study.teacher]: the multiplexed U-Net that the study trains where [teacher] is "unet" without weights.

    channels : what it sees; folds : with n over 1, n teachers are trained, each without one part of the training
        images, and an image is taught by those that have not seen it
    drop : how often a channel besides the nucleus is blanked in training
    """

    family: str = "resnet18"
    channels: tuple[str, ...] = ("nucleus", "membrane")
    decoder: tuple[int, ...] = (128, 64, 32, 16, 16)
    steps: int = 400
    learning_rate: float = 2e-3
    drop: float = 0.1
    folds: int = 1


@dataclass(frozen=True)
class StudySection:
    """[study]: the rows of a controlled comparison; everything else in the file is what they have in common.

    rows : names of distill/study/rows.py; students : further families, each with its own undistilled and distilled row
    fractions : shares of the training images that keep their labels, each with rows of its own
    test : data that are scored besides the validation images, for example of another collection
    block : frames are scored in blocks of this many pixels a side, the units of the bootstrap; 0 scores them whole
    radii : candidates of the trivial row, threshold and dilate, in pixels; the best one on the training images counts
    """

    title: str = "Study"
    seeds: int = 3
    rows: tuple[str, ...] = ("threshold", "undistilled", "paper")
    students: tuple[str, ...] = ()
    fractions: tuple[float, ...] = ()
    test: tuple[str, ...] = ()
    block: int = 0
    radii: tuple[int, ...] = (0, 2, 4, 6, 8, 10)
    teacher: TrainedTeacher = field(default_factory=TrainedTeacher)
