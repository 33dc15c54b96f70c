"""Quality figures, on cases that can be counted by hand."""

import numpy as np
import pytest

from benchmarks.figures import ImageScore
from benchmarks.quality import bootstrap, score_image, summarize
from runtime import Segmentation
from runtime.manifest import Objects

SQUARE = np.zeros((16, 16), np.int32)
SQUARE[4:12, 4:12] = 1
UNKNOWN = (None, None, None)
EMPTY = np.zeros((16, 16), np.int32)


def found(labels: np.ndarray) -> Segmentation:
    return Segmentation((labels > 0).astype(np.float32), None, 0.5, Objects())


def test_a_perfect_answer_scores_one():
    quality = summarize([score_image("a", SQUARE, found(SQUARE))], "nuclei")
    assert {(f.mean, f.pooled) for f in (quality.dice, quality.iou, quality.object_ap, quality.object_f1)} == {(1, 1)}


def test_an_empty_image_scores_one_if_nothing_is_found_in_it():
    assert score_image("a", EMPTY, found(EMPTY)).dice == 1
    assert score_image("a", EMPTY, found(SQUARE)).dice == 0


def test_half_an_object_is_no_object():
    half = SQUARE.copy()
    half[8:] = 0
    score = score_image("a", SQUARE, found(half))
    assert score.dice == pytest.approx(2 / 3)
    assert score.objects == (0, 1, 1)  # IoU is 0.5, and it takes more


def test_the_mean_weighs_images_and_the_pool_weighs_pixels():
    good = ImageScore("a", 1.0, (100, 0, 0), (1, 0, 0), *UNKNOWN)
    bad = ImageScore("b", 0.0, (0, 10, 10), (0, 1, 1), *UNKNOWN)
    quality = summarize([good, bad], "nuclei")
    assert quality.dice.mean == 0.5
    assert quality.dice.pooled == pytest.approx(200 / 220)
    assert quality.object_ap.mean == 0.5
    assert quality.object_ap.pooled == pytest.approx(1 / 3)


def test_the_interval_is_reproducible_and_holds_the_mean():
    values = np.linspace(0.8, 1.0, 20)
    low, high = bootstrap(values) or (1.0, 0.0)
    assert low < values.mean() < high
    assert bootstrap(values) == (low, high)


def test_four_images_carry_no_interval():
    assert bootstrap(np.ones(4)) is None
