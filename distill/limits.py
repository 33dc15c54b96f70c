"""What a configuration may say, checked before anything is opened: names that exist, numbers that mean something."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from distill import construction, students, teachers
from distill.spec import StudentSpec, spec_of
from runtime.errors import InputError

if TYPE_CHECKING:
    from distill.config import Config

LABELS = ("cells", "nuclei")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
CORES = ("eroded", "distance")
ENCODER_WEIGHTS = {"imagenet": "efficientnet_lite0"}  # the family that there are such weights of
CROPS = ("host", "device")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def check(config: Config) -> None:
    """InputError names the section and key that says what cannot be."""
    if config.seed < 0:
        msg = f"seed is {config.seed}; it must be at least 0."
        raise InputError(msg)
    _check_data(config)
    check_student(config)
    _check_teacher(config)
    _check_augment(config)
    _check_phases(config)
    _check_trainer(config)
    _check_study(config)


def check_student(config: Config) -> None:
    """InputError where there can be no student as [student] says."""
    _check_outputs(config)
    _check_student(spec_of(config), "student")
    _check_encoder_weights(config.student.encoder_weights, config.student.family)
    if config.student.begin_with and config.student.encoder_weights:
        msg = f"student.begin_with is {config.student.begin_with!r}, and encoder_weights is set, too; leave one out."
        raise InputError(msg)


def _check_data(config: Config) -> None:
    data = config.data
    if not data.train or not data.validation:
        msg = "data.train and data.validation must each name at least one data spec, such as synthetic:400@1."
        raise InputError(msg)
    if data.share and len(data.share) != len(data.train):
        msg = f"data.share has {len(data.share)} values for {len(data.train)} training sets; give one each, or none."
        raise InputError(msg)
    if any(not 0 < share < math.inf for share in data.share):
        msg = f"data.share is {list(data.share)}; give positive numbers, and take a set that is not wanted out."
        raise InputError(msg)
    if data.labels not in LABELS:
        msg = f"data.labels is {data.labels!r}; choose nuclei or cells."
        raise InputError(msg)
    if data.crop <= 0 or data.crop % 32:
        msg = f"data.crop is {data.crop}; it must be a multiple of 32, for example 256."
        raise InputError(msg)
    if not 0 < data.labelled <= 1:
        msg = f"data.labelled is {data.labelled}; it is a share of the training images, over 0 and up to 1."
        raise InputError(msg)
    if data.fold and not (len(data.fold) == 2 and 0 <= data.fold[0] < data.fold[1] and data.fold[1] > 1):
        msg = f"data.fold is {list(data.fold)}; give [k, n] with 0 <= k < n and n over 1, such as [0, 4]."
        raise InputError(msg)
    if not 0 < data.taught < 1:
        msg = f"data.taught is {data.taught}; it is a share of the crops, between 0 and 1."
        raise InputError(msg)
    if data.core not in CORES:
        msg = f"data.core is {data.core!r}; choose one of {', '.join(CORES)}."
        raise InputError(msg)
    if not 0 < data.small_nuclei < math.inf:
        msg = f"data.small_nuclei is {data.small_nuclei:g}; give a factor over 0, such as 2, where 1 switches it off."
        raise InputError(msg)


def _check_student(spec: StudentSpec, where: str) -> None:
    """What a student sees and how it is built; the teacher that a study trains is one, too."""
    construction.check(spec, where)
    if spec.channels[:1] != ("nucleus",) or len(set(spec.channels)) < len(spec.channels):
        msg = f"{where}.channels is {list(spec.channels)}; give nucleus first, and no channel twice."
        raise InputError(msg)


def _check_encoder_weights(name: str, family: str) -> None:
    if name and name not in ENCODER_WEIGHTS:
        known = ", ".join(ENCODER_WEIGHTS)
        msg = f"student.encoder_weights is {name!r}; choose {known}, or leave it out to begin with random weights."
        raise InputError(msg)
    if name and ENCODER_WEIGHTS[name] != family:
        msg = (
            f"student.encoder_weights is {name!r}, and there are none of {family}; choose the family "
            f"{ENCODER_WEIGHTS[name]}, or leave it out."
        )
        raise InputError(msg)


def _check_outputs(config: Config) -> None:
    student = config.student
    if unknown := set(student.outputs) - {"foreground", "core"}:
        msg = f"student.outputs holds {sorted(unknown)}; known outputs are foreground and core."
        raise InputError(msg)
    if student.outputs[:1] != ("foreground",) or len(set(student.outputs)) < len(student.outputs):
        msg = f"student.outputs is {list(student.outputs)}; foreground must come first, and nothing twice."
        raise InputError(msg)
    if not 0 <= student.low_percentile < student.high_percentile <= 100:
        msg = (
            f"student.low_percentile and high_percentile are {student.low_percentile:g} and "
            f"{student.high_percentile:g}; the first must be below the second, both from 0 to 100."
        )
        raise InputError(msg)


def _check_augment(config: Config) -> None:
    section = config.augment
    ranges = {"scale": (1, 16), "gamma": (1, 16), "contrast": (0, 1), "noise": (0, 1), "blur": (0, 64)}
    ranges |= {"haze": (0, 1), "drop": (0, 1)}
    for key, (low, high) in ranges.items():
        if not low <= getattr(section, key) <= high:
            msg = f"augment.{key} is {getattr(section, key):g}; give {low} to {high}, where {low} switches it off."
            raise InputError(msg)


def _check_teacher(config: Config) -> None:
    section = config.teacher
    if section.name:
        teachers.load(section.name)
        choices = {
            "prompts": ("boxes", "points", "grid", "none"),
            "prompt_labels": LABELS,
            "membrane": ("own", "blank", "shuffled"),
            "device": ("auto", "cpu", "cuda"),
            "looks_at": ("fields", "crops") if section.name == "unet" else ("fields",),
        }
        for key, known in choices.items():
            if getattr(section, key) not in known:
                msg = f"teacher.{key} is {getattr(section, key)!r}; choose one of {', '.join(known)}."
                raise InputError(msg)
    elif config.loss.matching:
        msg = f"loss.matching is {config.loss.matching!r}, but there is no teacher to match; name one in [teacher]."
        raise InputError(msg)
    if not (config.loss.supervised or config.loss.matching):
        msg = "loss.supervised and loss.matching are both left out; a student needs one of them to learn from."
        raise InputError(msg)


def _check_phases(config: Config) -> None:
    if config.qat.steps and (reason := students.load(config.student.family).no_int8):
        msg = f"{config.student.family} is not trained for int8: {reason}; set qat.steps = 0, for fp16 and fp32."
        raise InputError(msg)
    if not 0 <= config.float.average < 1:
        msg = f"float.average is {config.float.average:g}; give 0 to switch it off, or a decay below 1, such as 0.999."
        raise InputError(msg)
    if config.qat.average:
        msg = f"qat.average is {config.qat.average:g}, but int8 scales are averages already; leave it out."
        raise InputError(msg)
    interval = config.trainer.interval
    if interval < 1:
        msg = f"trainer.interval is {interval}; it must be at least 1 step."
        raise InputError(msg)
    for name, phase in (("float", config.float), ("qat", config.qat)):
        if name == "qat" and phase.steps == 0:
            continue
        check_steps(f"{name}.steps", phase.steps, interval)
        if min(phase.batch, phase.accumulate) < 1 or not 0 < phase.learning_rate < math.inf:
            msg = (
                f"{name}.batch, {name}.accumulate and {name}.learning_rate must be positive, "
                f"not {phase.batch}, {phase.accumulate}, {phase.learning_rate}."
            )
            raise InputError(msg)
        if not (0 <= phase.warmup <= 1 and 0 <= phase.weight_decay < math.inf and 0 <= phase.clip < math.inf):
            msg = (
                f"{name}.warmup must be a share of the steps, 0 to 1, and {name}.weight_decay and {name}.clip must not "
                f"be negative; they are {phase.warmup:g}, {phase.weight_decay:g}, {phase.clip:g}."
            )
            raise InputError(msg)
        if phase.precision not in PRECISIONS:
            msg = f"{name}.precision is {phase.precision!r}; choose one of {', '.join(PRECISIONS)}."
            raise InputError(msg)


def check_steps(key: str, steps: int, interval: int) -> None:
    """InputError where a phase is no whole number of intervals."""
    if steps < 1 or steps % interval:
        nearest = max(interval, round(steps / interval) * interval)
        msg = f"{key} is {steps}; it must be a multiple of trainer.interval {interval}; try {nearest}."
        raise InputError(msg)


def _check_trainer(config: Config) -> None:
    section = config.trainer
    least = {"validate": 1, "devices": 1, "nodes": 1, "patience": 0, "threads": 0, "workers": 0}
    for key, low in least.items():
        if getattr(section, key) < low:
            msg = f"trainer.{key} is {getattr(section, key)}; it must be at least {low}."
            raise InputError(msg)
    if section.accelerator not in ACCELERATORS:
        msg = f"trainer.accelerator is {section.accelerator!r}; choose one of {', '.join(ACCELERATORS)}."
        raise InputError(msg)
    if section.crops not in CROPS:
        msg = f"trainer.crops is {section.crops!r}; choose {' or '.join(CROPS)}."
        raise InputError(msg)


def _check_study(config: Config) -> None:
    section, teacher = config.study, config.study.teacher
    for family in section.students:
        construction.check(replace(spec_of(config), family=family))
        _check_encoder_weights(config.student.encoder_weights, family)
    _check_student(StudentSpec("teacher", teacher.family, teacher.channels, teacher.decoder), "study.teacher")
    if teacher.steps < 1 or not 0 < teacher.learning_rate < math.inf or not 0 <= teacher.drop <= 1:
        msg = (
            "study.teacher.steps and learning_rate must be positive, and drop a share from 0 to 1; they are "
            f"{teacher.steps}, {teacher.learning_rate:g}, {teacher.drop:g}."
        )
        raise InputError(msg)
    least = {"seeds": (section.seeds, 1), "block": (section.block, 0), "teacher.folds": (teacher.folds, 1)}
    for key, (value, low) in least.items():
        if value < low:
            msg = f"study.{key} is {value}; it must be at least {low}."
            raise InputError(msg)
    for key in ("rows", "students", "fractions", "radii"):
        values = getattr(section, key)
        if len(set(values)) < len(values) or (key in ("rows", "radii") and not values):
            msg = f"study.{key} is {list(values)}; give at least one row and radius, and none of them twice."
            raise InputError(msg)
    if any(not 0 < share < 1 for share in section.fractions):
        msg = f"study.fractions is {list(section.fractions)}; give shares between 0 and 1; 1 is always there."
        raise InputError(msg)
    if min(section.radii) < 0:
        msg = f"study.radii is {list(section.radii)}; give pixels, at least 0."
        raise InputError(msg)
