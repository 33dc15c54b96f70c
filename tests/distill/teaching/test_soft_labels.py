"""Soft labels: computed once, keyed by what went in, in 8 bits that are enough."""

import logging
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zarr")

from distill import datasets, teachers
from distill.config.sections import TeacherSection
from distill.datasets import Sample
from distill.teaching import soft_labels
from distill.teaching.soft_labels import obtain, quantize, stored
from runtime.artifact.manifest import Normalization
from runtime.errors import EdgescopeError, InputError
from runtime.frames.normalize import normalize

ROOT = Path(__file__).parents[3]
DATA = datasets.open("synthetic:5@3?size=48")


@dataclass
class Bright:
    """A teacher of these tests: bright is foreground. It counts how many fields it was asked about."""

    name: str = "bright"
    licence: str = "none"
    channels: tuple[str, ...] = ("nucleus", "membrane")
    needs_instances: bool = True
    weights: str = "1"
    labels: str | None = "cells"
    asked: list[int] = field(default_factory=list)  # fields in each call

    def key(self):
        return {"weights": self.weights}

    def reference(self, sample: Sample):
        return sample.labels[self.labels] if self.labels else None

    def probability(self, image, instances=None):
        return self.probabilities([image], [instances])[0]

    def probabilities(self, images, instances):
        self.asked.append(len(images))
        return [normalize(image.mean(0).astype(np.float32), Normalization()) for image in images]


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Bright:
    bright = Bright()

    class Kind(teachers.TeacherKind):
        def open(self, section, options):
            return bright

    monkeypatch.setattr(teachers, "load", lambda name: Kind())
    return bright


@pytest.fixture
def section(tmp_path: Path) -> TeacherSection:
    return TeacherSection(name="bright", store=str(tmp_path / "soft.zarr"))


def test_soft_labels_are_the_teachers_in_the_samples_order(teacher, section):
    for sample, soft in zip(DATA, obtain(section, DATA), strict=True):
        assert soft.dtype == np.uint8
        expected = teacher.probability(sample.image)
        assert np.abs(soft / 255 - expected).max() <= 0.5 / 255 + 1e-6


def test_a_second_student_asks_the_teacher_nothing(teacher, section):
    first = obtain(section, DATA)
    teacher.asked.clear()
    second = obtain(section, DATA)
    assert teacher.asked == []
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


def test_only_what_is_missing_is_computed(teacher, section):
    obtain(section, DATA[:2])
    teacher.asked.clear()
    obtain(section, DATA)
    assert sum(teacher.asked) == 3


def test_images_share_a_pass_by_batches(teacher, section):
    obtain(replace(section, batch=2), DATA)
    assert teacher.asked == [2, 2, 1]


@pytest.mark.parametrize("what", ["weights", "image", "instances", "membrane"])
def test_whatever_goes_in_makes_another_key(teacher, section, what):
    sample = DATA[0]
    obtain(section, [sample])
    teacher.asked.clear()
    if what == "weights":
        teacher.weights = "2"
    elif what == "image":
        image = sample.image.copy()
        image[1, 0, 0] += 1
        sample = replace(sample, image=image)
    elif what == "instances":
        sample = replace(sample, labels={**sample.labels, "cells": sample.labels["cells"] * 2})
    else:
        section = replace(section, membrane="blank")
    obtain(section, [sample])
    assert teacher.asked == [1]


def test_what_does_not_matter_makes_no_other_key(teacher, section):
    sample = DATA[0]
    obtain(section, [sample])
    teacher.asked.clear()
    nuclei = {**sample.labels, "nuclei": sample.labels["nuclei"] * 2}
    other = replace(
        sample, name="elsewhere", labels=nuclei, image=sample.image.astype(sample.image.dtype.newbyteorder(">"))
    )
    obtain(replace(section, batch=3, device="cpu"), [other])
    assert teacher.asked == []


def test_a_damaged_field_is_named_and_computed_again(teacher, section, caplog: pytest.LogCaptureFixture):
    before = obtain(section, DATA)
    teacher.asked.clear()
    field_of = sorted(path for path in Path(section.store).iterdir() if path.is_dir())[0]
    chunk = field_of / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 255
    chunk.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        after = obtain(section, DATA)
    assert teacher.asked == [1]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    (record,) = caplog.records
    assert "is damaged" in record.getMessage()
    assert "synthetic-3-48x48-" in record.getMessage()
    caplog.clear()
    obtain(section, DATA)
    assert teacher.asked == [1]


def test_values_that_are_not_finite_are_refused_and_not_stored(teacher, section, monkeypatch):
    monkeypatch.setattr(Bright, "probabilities", lambda self, images, _: [np.full(images[0].shape[1:], np.nan)])
    with pytest.raises(EdgescopeError, match="not finite"):
        obtain(section, DATA[:1])
    assert stored(section, DATA[:1]) == 0


def test_a_configuration_without_a_teacher_is_refused():
    with pytest.raises(InputError, match=r"names no teacher; add \[teacher\]"):
        obtain(TeacherSection(), DATA)


def test_stored_counts_what_is_there(teacher, section):
    assert stored(section, DATA) == 0
    obtain(section, DATA[:3])
    assert stored(section, DATA) == 3


def test_eight_bits_are_enough():
    """Of a loss of mean squared differences, rounding changes less than a thousandth, of the mask nearly nothing."""
    rng = np.random.default_rng(0)
    teacher = 1 / (1 + np.exp(-6 * rng.standard_normal((256, 256))))
    student = 1 / (1 + np.exp(-6 * rng.standard_normal((256, 256))))
    kept = quantize(teacher.astype(np.float32)) / 255
    assert np.abs(kept - teacher).max() <= 0.5 / 255 + 1e-6
    loss, rounded = np.mean((student - teacher) ** 2), np.mean((student - kept) ** 2)
    assert abs(rounded - loss) < 1e-3 * loss
    close = np.clip(teacher + rng.normal(0, 0.02, teacher.shape), 0, 1)  # a student that has nearly learnt it
    loss, rounded = np.mean((close - teacher) ** 2), np.mean((close - kept) ** 2)
    assert abs(rounded - loss) < 0.02 * loss
    assert np.mean((kept > 0.5) != (teacher > 0.5)) < 0.002


OBTAIN = """
import sys
from distill import datasets
from distill.config.sections import TeacherSection
from distill.teaching.soft_labels import label_all
section = TeacherSection(name="masks", weights="labels:cells", options={"soften": 1.0}, store=sys.argv[1])
print(sum(label.computed for label in label_all(section, datasets.open("synthetic:24@5?size=64"))))
"""


@pytest.mark.slow
def test_processes_share_a_store(tmp_path: Path):
    command = [sys.executable, "-c", OBTAIN, str(tmp_path / "soft.zarr")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    workers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    counts = [int(worker.communicate()[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    section = TeacherSection(
        name="masks", weights="labels:cells", store=str(tmp_path / "soft.zarr"), options={"soften": 1.0}
    )
    data = datasets.open("synthetic:24@5?size=64")
    assert stored(section, data) == 24
    fields = [path for path in (tmp_path / "soft.zarr").iterdir() if path.is_dir()]
    assert sum(counts) >= len(fields) > 12
    assert not any(label.computed for label in soft_labels.label_all(section, data))


def test_a_training_that_waits_for_its_teacher_says_how_far_it_is(teacher, section, monkeypatch, caplog):
    monkeypatch.setattr(soft_labels, "EVERY", 0.0)
    with caplog.at_level("INFO", "distill"):
        obtain(section, DATA)
    assert f"soft labels: {len(DATA)} of {len(DATA)} images" in caplog.messages
