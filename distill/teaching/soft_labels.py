"""What a teacher says about a data set: computed once, kept in a store, read by every student.

A probability is stored in 8 bits, 255 is 1. Its key is all that went into it: the teacher's own key (weights, mapping,
prompts), the planes that it saw, and the labels that it was prompted with. So nothing stale is ever read, and what is
there already is never computed again: after a kill the same command goes on, and several processes share the work.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distill import teachers
from distill.store import Damaged, Store
from distill.teachers import Untaught
from distill.teaching.views import Views
from runtime.errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from distill.config.sections import TeacherSection
    from distill.datasets import Sample
    from distill.teachers import Teacher

log = logging.getLogger(__name__)

EVERY = 30.0  # seconds between two lines of a training that waits for its teacher
SCHEMA = 1  # of what a key is made of and how a probability is stored


@dataclass(frozen=True, eq=False)
class SoftLabel:
    """A teacher's probability of one field.

    index : of the sample in its set
    probability : uint8 (H, W), 255 is 1
    computed : whether the teacher was asked, or the store knew
    rounding : (largest, mean squared) error of the 8 bits, where it was computed
    bytes : on disk, where it was computed
    """

    index: int
    name: str
    probability: NDArray[np.uint8]
    computed: bool
    rounding: tuple[float, float] = (0.0, 0.0)
    bytes: int = 0


@dataclass(frozen=True, eq=False)
class Question:
    """What a teacher is asked about one field, and the key of its answer."""

    index: int
    name: str
    image: NDArray[Any]
    reference: NDArray[Any] | None
    key: str


def obtain(section: TeacherSection, samples: Sequence[Sample]) -> list[NDArray[np.uint8]]:
    """The teacher's probabilities of all samples, (H, W) each, 255 is 1: read from the store, the others computed.

    The teacher's network is loaded only where something is missing.
    InputError where a sample lacks a channel or labels that the teacher wants.
    """
    found = _obtained(section, samples, None)
    return [found[index] for index in range(len(samples))]


def obtain_some(section: TeacherSection, samples: Sequence[Sample]) -> dict[int, NDArray[np.uint8]]:
    """The same by the sample's index, without those that the teacher has no answer about; their count is logged."""
    untaught: list[str] = []
    found = _obtained(section, samples, untaught)
    if untaught:
        log.warning(
            "the teacher has no answer about %d of %d images (first: %s)",
            len(untaught), len(samples), min(untaught),
        )  # fmt: skip
    return found


def _obtained(
    section: TeacherSection, samples: Sequence[Sample], untaught: list[str] | None
) -> dict[int, NDArray[np.uint8]]:
    found, last = {}, time.monotonic()
    for label in label_all(section, samples, untaught):
        found[label.index] = label.probability
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            log.info("soft labels: %d of %d images", len(found), len(samples))
    return found


def label_all(
    section: TeacherSection, samples: Sequence[Sample], untaught: list[str] | None = None
) -> Iterator[SoftLabel]:
    """The soft label of each sample, in no particular order, each in the store before it is given.

    untaught : takes the names of samples that the teacher has no answer about, as long as it has one about others;
        without it, they are an InputError

    Processes that work on the same samples begin at different places, so that they share the work; where they meet,
    the first answer stays.
    """
    teacher, store = teachers.open_teacher(section), Store(Path(section.store))
    waiting: list[Question] = []
    for question in _questions(section, teacher, samples, untaught):
        if (stored := _stored(store, question)) is not None:
            yield SoftLabel(question.index, question.name, stored, computed=False)
            continue
        waiting.append(question)
        if len(waiting) >= section.batch:
            yield from _ask(teacher, store, waiting)
            waiting = []
    yield from _ask(teacher, store, waiting)


def stored(section: TeacherSection, samples: Sequence[Sample], untaught: list[str] | None = None) -> int:
    """How many of the samples the store knows. Checks on the way that each has what the teacher wants.

    untaught : as in label_all
    """
    teacher, store = teachers.open_teacher(section), Store(Path(section.store))
    return sum(store.has(question.key) for question in _questions(section, teacher, samples, untaught))


def quantize(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities in [0, 1] as uint8, to the nearest of 256 values."""
    return np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8)


def _questions(
    section: TeacherSection, teacher: Teacher, samples: Sequence[Sample], untaught: list[str] | None = None
) -> Iterator[Question]:
    views = Views(samples, teacher.channels, section.membrane)
    known = {"name": teacher.name, **teacher.key()}
    first = int.from_bytes(os.urandom(4), "big") % max(1, len(samples))
    for index in chain(range(first, len(samples)), range(first)):
        sample = samples[index]
        image = views.of(index, sample)
        try:
            reference = teacher.reference(sample)
        except Untaught:
            if untaught is None or len(untaught) + 1 == len(samples):  # of all images, it is the wrong folder
                raise
            untaught.append(sample.name)
            continue
        yield Question(index, sample.name, image, reference, _key(known, image, reference))


def _key(teacher: Mapping[str, str], image: NDArray[Any], reference: NDArray[Any] | None) -> str:
    ingredients = {"schema": SCHEMA, "teacher": teacher, "image": _digest(image), "reference": _digest(reference)}
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]


def _digest(values: NDArray[Any] | None) -> str:
    if values is None:
        return ""
    little_endian = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    head = f"{values.dtype.name} {values.shape} ".encode()
    return hashlib.sha256(head + little_endian.tobytes()).hexdigest()


def _stored(store: Store, question: Question) -> NDArray[np.uint8] | None:
    """What the store holds; a damaged field is reported, taken away, and so computed again."""
    try:
        return store.read(question.key, question.name)
    except Damaged as error:
        log.warning("%s It is computed again now.", error)
        store.discard(question.key)
        return None


def _ask(teacher: Teacher, store: Store, questions: Sequence[Question]) -> Iterator[SoftLabel]:
    if not questions:
        return
    answers = teacher.probabilities([one.image for one in questions], [one.reference for one in questions])
    for question, answer in zip(questions, answers, strict=True):
        _check(teacher, question, answer)
        probability = quantize(answer)
        error = np.abs(probability / 255 - answer)
        about = {"name": question.name, "teacher": teacher.name, "licence": teacher.licence, "key": dict(teacher.key())}
        size = store.write(question.key, probability, about)
        rounding = (float(error.max(initial=0)), float(np.mean(error**2)))
        yield SoftLabel(question.index, question.name, probability, True, rounding, size)


def _check(teacher: Teacher, question: Question, answer: NDArray[np.float32]) -> None:
    if not np.isfinite(answer).all():
        msg = (
            f"Teacher {teacher.name} says {np.count_nonzero(~np.isfinite(answer))} values about {question.name} that "
            "are not finite; check its weights, or set teacher.half = false."
        )
        raise EdgescopeError(msg)
