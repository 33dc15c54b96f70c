"""A dry run: does every file, channel, label and weight that a configuration names exist?

Said before hours are spent, and all at once: a list of facts, and a list of problems with the next step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distill import datasets, students, teachers
from distill.networks.imagenet import layers
from distill.networks.spec import spec_of
from distill.student import student as student_files
from distill.teachers import Untaught
from distill.teaching.online import members_of
from distill.teaching.views import check_control
from distill.training.data import no_objects
from distill.training.initialization import fitting
from distill.training.objective import Objective, check_teacher_used
from distill.training.probes import choose_probes
from runtime.errors import EdgescopeError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distill.config.sections import Config, TrainerSection
    from distill.datasets import Dataset, Sample

    Ask = Callable[[Sample], object]  # Teacher.reference: Untaught or InputError where the image lacks what it wants


@dataclass
class Examination:
    """facts : what is there, in words; problems : what is not, each with the next step

    notes : what is not here, and may be where the training will be run
    """

    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], str | None]) -> None:
        """Note the fact that a step returns, or the problem that it raises."""
        try:
            fact = step()
        except InputError as error:
            if str(error) not in self.problems:  # one path may serve as several sets
                self.problems.append(str(error))
        else:
            if fact:
                self.facts.append(fact)

    def raise_problems(self) -> None:
        """InputError with all problems, where there are any."""
        if self.problems:
            raise InputError(" ".join(self.problems))


def examine(config: Config) -> Examination:
    """Examine the configuration of a training."""
    found = Examination()
    channels, asked = examine_teacher(config, found)
    examine_data(config, found, channels, asked)
    if config.student.init_from:
        found.attempt(lambda: _beginning(config))
    found.attempt(lambda: _online(config))
    for folder in config.teacher.undistilled if config.teacher.name else ():
        found.attempt(lambda folder=folder: f"undistilled student {student_files.load(folder).spec.name}")
    found.attempt(lambda: _losses(config))
    return found


def examine_data(
    config: Config, found: Examination, taught_on: Sequence[str], asked: Sequence[Ask], test: Sequence[str] = ()
) -> None:
    """Open every image that a configuration names, and look for the device that trains.

    taught_on : the channels that a teacher sees; asked : what teachers take of an image besides
    test : further data specs that are scored
    """
    wanted, labels = tuple(dict.fromkeys((*config.student.channels, *taught_on))), config.data.labels
    some = 0 if config.teacher.name else 1  # a teacher speaks for images without labels
    for spec in config.data.train:
        found.attempt(lambda spec=spec: _data(spec, "train", wanted, labels, asked, least=some))
    for spec in config.data.validation:
        found.attempt(lambda spec=spec: _data(spec, "val", wanted, labels, asked))
    for spec in test:
        found.attempt(lambda spec=spec: _data(spec, "test", config.student.channels, labels))
    if config.data.record:
        found.attempt(lambda: f"record: {config.data.record}, {len(choose_probes(config))} frames")
    try:
        check_trainer(config.trainer)
    except InputError as error:
        found.notes.append(str(error))


def examine_teacher(config: Config, found: Examination) -> tuple[Sequence[str], list[Ask]]:
    """The channels that the teacher looks at, where they are known, and what it takes of an image besides."""
    section = config.teacher
    if not section.name:
        return (), []
    examine_store(config, found)
    try:
        kind, options = teachers.load(section.name), teachers.options_of(section)
        teacher = kind.open(section, options)
    except EdgescopeError as error:  # a package that is not installed is no wrong input
        found.problems.append(str(error))
        return kind.channels(options), []
    weights = f", weights {Path(section.weights).name}" if section.weights else ""
    found.facts.append(f"teacher {section.name}{weights}")
    examine_control(config, found, teacher.channels, section.membrane)
    held = [name for spec in config.data.validation for name in _names(spec, "val")]
    if held:
        found.attempt(lambda: check_control(len(held), teacher.channels, section.membrane))
    return kind.channels(options) or teacher.channels, [teacher.reference]


def examine_control(config: Config, found: Examination, channels: Sequence[str], membrane: str) -> None:
    """Whether the membrane can be hidden from the teacher as a control wants it, in every training set."""
    for spec in config.data.train:
        if names := _names(spec, "train"):
            found.attempt(lambda names=names: check_control(len(names), channels, membrane))


def examine_store(config: Config, found: Examination) -> None:
    """Whether there is a store or can be one; one that is there may be for reading alone."""
    from distill.store import Store  # zarr, for those who have a teacher

    def look() -> None:
        store = Store(Path(config.teacher.store))
        if not store.path.exists():
            store.check_writable()

    found.attempt(look)


def _names(spec: str, split: str) -> Sequence[str]:
    """Of the images of a set; none where it cannot be opened, which is said elsewhere."""
    try:
        return datasets.open(spec, split).names
    except InputError:
        return ()


def _data(
    spec: str, split: str, channels: Sequence[str], labels: str, asked: Sequence[Ask] = (), least: int | None = None
) -> str:
    """Open every image of a set.

    labels : what the images must have; test data that have others are scored for those
    least : how many of them must; None for all of them
    """
    data = datasets.open(spec, split)
    if not len(data):
        msg = f"{spec} holds no images for {split}."
        raise InputError(msg)
    others = data[0].labels if split == "test" else {}  # test data are scored for the labels that they have
    wanted, count = labels if labels in others else next(iter(others), labels), 0
    objects, untaught = False, 0
    for sample in data:
        sample.planes(channels)
        try:
            for ask in asked:
                ask(sample)
        except Untaught:
            untaught += 1
            if least is not None and untaught == len(data):  # validation images need no teacher
                raise
        count += wanted in sample.labels
        objects = objects or (wanted in sample.labels and bool(sample.labels[wanted].any()))
        if least is None:
            sample.labels_of(wanted, "set data.labels")
    if count < (least or 0):
        msg = f"None of the {len(data)} images of {spec} has labels {wanted!r}; set data.labels, or name a teacher."
        raise InputError(msg)
    if count and not objects and (least or split == "val"):
        raise no_objects(count, f"images of {spec}, part {split},")
    fact = f"{split}: {spec}, {_words(data)}, channels {', '.join(sample.channels)}, labels {wanted} of {count}"
    return fact + (f"; the teacher has no answer about {untaught}" if untaught else "")


def _words(data: Dataset) -> str:
    left_out = sum(data.left_out.values())
    return f"{len(data)} images" + (f" ({left_out} left out)" if left_out else "")


def _online(config: Config) -> str | None:
    members = members_of(config.teacher, spec_of(config))
    return f"who looks at crops: {', '.join(member.spec.name for member in members)}" if members else None


def _beginning(config: Config) -> str:
    """How much of the student of student.init_from is taken over."""
    begin, spec = student_files.load(config.student.init_from), spec_of(config)
    model = students.load(spec.family).build(spec)
    taken, every = len(fitting(model, begin)), len(list(layers(model)))
    return f"begins with {taken} of {every} convolutions of {begin.spec.name}"


def _losses(config: Config) -> str:
    terms = Objective(config.loss).terms
    check_teacher_used(config.teacher.name, terms)
    return f"losses: {', '.join(f'{role} {loss.name}' for role, loss in terms.items())}; {config.loss.weighting}"


def check_trainer(section: TrainerSection) -> None:
    """InputError where the accelerator that a training asks for is not here, or there are fewer of it."""
    if section.accelerator in ("auto", "cpu"):
        return
    from lightning.pytorch.accelerators import AcceleratorRegistry, CUDAAccelerator, MPSAccelerator

    name = section.accelerator
    if name == "gpu":
        name = "mps" if MPSAccelerator.is_available() and not CUDAAccelerator.is_available() else "cuda"
    kind = AcceleratorRegistry.get(name)
    if not kind.is_available():
        msg = f"trainer.accelerator is {section.accelerator}, but there is none here; set it to cpu or auto."
        raise InputError(msg)
    if section.devices > (available := kind.auto_device_count()):
        msg = f"trainer.devices is {section.devices}, but this machine has {available}; set it to that, or lower."
        raise InputError(msg)
