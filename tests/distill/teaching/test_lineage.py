"""Where a student comes from: its teacher and that one's licence, and what it has seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from distill import datasets
from distill.config.sections import Config, DataSection, StudentSection, TeacherSection
from distill.student.student import load
from distill.teaching.lineage import lineage

WEIGHTS = {"one": torch.ones(3)}


@pytest.fixture
def field(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 900, (64, 256)).astype(np.uint16)
    (tmp_path / "f1").mkdir()
    for name in ("nucleus", "cells"):
        tifffile.imwrite(tmp_path / "f1" / f"{name}.tif", pixels)
    return tmp_path / "f1"


def of(config: Config, *specs: str):
    used = [datasets.open(spec, "train") for spec in specs]
    return lineage(replace(config, data=replace(config.data, train=specs)), used, WEIGHTS)


@pytest.fixture
def config() -> Config:
    return replace(Config(), data=DataSection(labels="cells"))


def test_without_a_teacher_there_is_none(config: Config):
    found = of(config, "synthetic:5@1?size=64")
    assert found.teacher is None
    assert found.licences == (datasets.load("synthetic").licence,)


def test_the_licence_of_the_teacher_joins_those_of_the_data(config: Config, field: Path):
    section = TeacherSection(
        name="masks", weights="labels:cells", options={"licence": "Modified Apache-2.0, non-commercial; MIT"}
    )
    found = of(replace(config, teacher=section), f"multiplex:{field}?licence=MIT")
    assert found.licences == ("MIT", "Modified Apache-2.0, non-commercial")
    assert found.teacher is not None
    assert found.teacher.startswith("masks (")


@pytest.mark.parametrize("name", ["nuclei-fast", "nuclei-accurate"])
def test_what_a_student_begins_with_is_part_of_where_it_comes_from(config: Config, field: Path, name: str):
    before = load(name).lineage
    found = of(replace(config, student=StudentSection(init_from=name)), f"multiplex:{field}?licence=MIT")
    assert found.licences == tuple(dict.fromkeys(["MIT", *before.licences]))
    assert set(before.data) < set(found.data)
    assert set(before.trained_on) < set(found.trained_on)
    assert found.teacher is None
    assert found.data[-1].name == name
    assert before.weights_sha256[:12] in found.data[-1].note
    assert (f"whose teacher was {before.teacher}" in found.data[-1].note) == (before.teacher is not None)


def test_the_teacher_is_named_without_a_path(config: Config, field: Path):
    section = TeacherSection(name="masks", weights=str(field / "cells.tif"))
    found = of(replace(config, teacher=section), f"multiplex:{field}")
    assert str(field) not in str(found.to_dict())


def test_tiles_and_their_field_were_seen(config: Config, field: Path):
    spec = f"multiplex:{field}?tile=64"
    found = of(config, spec)
    train = datasets.open(spec, "train")
    whole = datasets.frame_fingerprint(tifffile.imread(field / "nucleus.tif"))
    assert set(found.trained_on) == {whole, *map(datasets.fingerprint, train)}


def test_generated_frames_are_not_listed(config: Config):
    assert of(config, "synthetic:5@1?size=64").trained_on == ()


def test_a_fold_knows_which_generated_frames_it_has_seen(config: Config):
    fold = replace(config, data=replace(config.data, fold=(0, 2)))
    assert len(of(fold, "synthetic:5@1?size=64").trained_on) == 4
