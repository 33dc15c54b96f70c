"""Scores of held-out data, unit by unit, and the threshold that training images choose."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.config.sections import Config, DataSection, StudySection
from distill.datasets import Sample
from distill.studies.score import Held, blocks, choose_threshold, held_out, score
from runtime.errors import InputError
from runtime.metrics import boundary_f1, dice, iou


def sample(name: str, labels: np.ndarray) -> Sample:
    return Sample(name, np.zeros((1, *labels.shape), np.uint8), ("nucleus",), {"cells": labels.astype(np.int32)})


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 60))
def test_blocks_cover_an_image_once(height: int, width: int, side: int):
    count = np.zeros((height, width), int)
    sizes = []
    for _, part in blocks((height, width), side):
        count[part] += 1
        sizes.append(count[part].shape)
    assert (count == 1).all()
    for axis in range(2):
        lengths = [size[axis] for size in sizes]
        assert max(lengths) - min(lengths) <= 1
        assert max(lengths) <= 1.5 * side + 1


def test_without_blocks_an_image_is_one_unit():
    ((name, part),) = blocks((5, 7), 0)
    assert name == ""
    assert np.zeros((5, 7))[part].shape == (5, 7)


@pytest.mark.parametrize("block", [0, 16])
def test_units_are_scored_one_by_one(block: int):
    rng = np.random.default_rng(0)
    samples = [sample(name, rng.integers(0, 2, (40, 32))) for name in "ab"]
    said = {s.name: rng.random((40, 32)).astype(np.float32) for s in samples}
    found = score(lambda s: said[s.name], Held("validation", "cells", samples), 0.6, block)
    assert found["labels"] == "cells"
    expected = []
    for one in samples:
        for name, part in blocks((40, 32), block):
            mask, truth = said[one.name][part] > 0.6, one.labels["cells"][part] > 0
            scores = {"dice": dice(mask, truth), "boundary_f1": boundary_f1(mask, truth), "iou": iou(mask, truth)}
            expected.append({"unit": one.name + name} | scores)
    assert found["units"] == expected


def test_the_threshold_of_the_best_dice_is_chosen():
    labels = np.zeros((20, 20))
    labels[:10] = 1
    probability = np.where(labels > 0, 0.58, 0.42).astype(np.float32)
    probability[-1] = 0.53  # found at 0.5, wrongly, and no longer at 0.55
    chosen = choose_threshold(lambda s: probability, [sample("a", labels)], "cells")
    assert chosen == 0.55


def test_of_equal_thresholds_the_one_nearest_to_one_half_is_chosen():
    labels = np.eye(16)
    assert choose_threshold(lambda s: labels.astype(np.float32), [sample("a", labels)], "cells") == 0.5


@pytest.fixture
def config() -> Config:
    data = DataSection(train=("synthetic:6@1?size=64",), validation=("synthetic:6@2?size=64",), labels="cells")
    return replace(Config(), data=data)


def test_test_data_are_used_whole_and_told_apart(config: Config):
    tests = ("synthetic:3@7?size=64", "synthetic:2@8?size=64")
    found = held_out(replace(config, study=StudySection(test=tests)))
    assert [(held.name, len(held.samples)) for held in found] == [
        ("validation", 1),
        ("synthetic", 3),
        ("synthetic-2", 2),
    ]
    assert [held.labels for held in found] == ["cells"] * 3


def test_test_data_of_other_labels_are_scored_for_those(config: Config, tmp_path: Path):
    from PIL import Image

    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.eye(40, dtype=np.uint8)).save(tmp_path / name / "a.png")
    _, held = held_out(replace(config, study=StudySection(test=(f"folder:{tmp_path}",))))
    assert (held.name, held.labels) == ("folder", "nuclei")


def test_test_data_without_labels_are_refused(config: Config, tmp_path: Path):
    import tifffile

    (tmp_path / "f").mkdir()
    tifffile.imwrite(tmp_path / "f" / "nucleus.tif", np.zeros((64, 64), np.uint8))
    with pytest.raises(InputError, match="holds no labelled images"):
        held_out(replace(config, study=StudySection(test=(f"multiplex:{tmp_path}",))))
