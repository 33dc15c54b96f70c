"""Quality figures against libraries that others use, and against the definition written out slowly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from skimage.metrics import hausdorff_distance

from runtime.metrics import Comparison, match_objects, matched_objects, outline, parts_of, summarize
from runtime.metrics.measures.hd95_px import hd95

MASKS = arrays(bool, (9, 11))
FLAT = st.integers(0, 2**32 - 1)
SIDE = 48


def blobs(seed: int, count: int = 6) -> np.ndarray:
    """Rectangles that do not touch, as a label image."""
    rng, labels = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.int32)
    for number in range(1, count + 1):
        row, col = rng.integers(0, SIDE - 10, 2)
        height, width = rng.integers(3, 9, 2)
        near = slice(max(0, row - 1), row + height + 1), slice(max(0, col - 1), col + width + 1)
        if not labels[near].any():
            labels[row : row + height, col : col + width] = number
    return labels


def moved(labels: np.ndarray, seed: int) -> np.ndarray:
    """The same objects, shifted by a pixel or two, some of them gone."""
    rng = np.random.default_rng(seed)
    kept = np.where(np.isin(labels, rng.integers(1, 7, 2)), 0, labels)
    return np.roll(kept, rng.integers(-2, 3, 2), axis=(0, 1))


def slow_hd95(mask: np.ndarray, truth: np.ndarray) -> float:
    """All distances between all pairs of outline pixels."""
    distances = cdist(np.argwhere(outline(mask)), np.argwhere(outline(truth)))
    return max(np.percentile(distances.min(axis=axis), 95) for axis in (0, 1))


@given(MASKS, MASKS)
def test_hd95_is_what_the_definition_says(mask: np.ndarray, truth: np.ndarray):
    if outline(mask).any() and outline(truth).any():
        assert hd95(mask, truth) == pytest.approx(slow_hd95(mask, truth))


@given(MASKS, MASKS)
def test_at_100_percent_it_is_the_hausdorff_distance_of_scikit_image(mask: np.ndarray, truth: np.ndarray):
    one, other = outline(mask), outline(truth)
    if one.any() and other.any():
        assert hd95(mask, truth, 100) == pytest.approx(hausdorff_distance(one, other))


def test_without_an_outline_there_is_no_distance():
    empty, full, some = np.zeros((4, 4), bool), np.ones((4, 4), bool), np.eye(4, dtype=bool)
    assert hd95(empty, empty) == 0.0
    assert hd95(full, full) == 0.0
    assert hd95(empty, full) is None
    assert hd95(empty, some) is None


@pytest.mark.parametrize("seed", range(4))
def test_dice_and_iou_are_those_of_torchmetrics(seed: int):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    truth = blobs(seed)
    answer = moved(truth, seed)
    scores = summarize([parts_of(Comparison(answer, truth))])
    theirs = torch.from_numpy(answer > 0), torch.from_numpy(truth > 0)
    assert scores["dice"].mean == pytest.approx(float(functional.binary_f1_score(*theirs)))
    assert scores["iou"].mean == pytest.approx(float(functional.binary_jaccard_index(*theirs)))


@pytest.mark.parametrize("seed", range(4))
def test_panoptic_quality_is_that_of_torchmetrics(seed: int):
    torch = pytest.importorskip("torch")
    detection = pytest.importorskip("torchmetrics.detection")
    pairs = [(truth := blobs(seed + 10 * image), moved(truth, seed)) for image in range(3)]
    scores = summarize([parts_of(Comparison(one, truth)) for truth, one in pairs])
    metric = detection.PanopticQuality(things={1}, stuffs={0}, return_per_class=True)
    for truth, one in pairs:
        shown = [np.stack([labels > 0, labels], axis=-1)[None] for labels in (one, truth)]
        metric.update(*(torch.from_numpy(image.astype(np.int64)) for image in shown))
    assert scores["panoptic_quality"].pooled == pytest.approx(float(metric.compute()[0, 0]))


@pytest.mark.parametrize("seed", range(4))
def test_objects_are_counted_as_an_assignment_of_all_pairs_would(seed: int):
    from scipy.optimize import linear_sum_assignment

    truth = blobs(seed)
    answer = moved(truth, seed)
    ones, others = ([labels == n for n in np.unique(labels) if n] for labels in (truth, answer))
    ious = np.array([[(a & b).sum() / (a | b).sum() for b in others] for a in ones])
    rows, cols = linear_sum_assignment(-np.where(ious > 0.5, ious, 0))
    matched = ious[rows, cols][ious[rows, cols] > 0.5]
    counts, matches = matched_objects(truth, answer)
    assert counts == match_objects(truth, answer)
    assert (counts.tp, counts.fp, counts.fn) == (len(matched), len(others) - len(matched), len(ones) - len(matched))
    assert matches.sum() == pytest.approx(matched.sum())


def test_an_image_without_a_distance_does_not_count_in_its_mean():
    truth = blobs(2)
    nothing = np.zeros_like(truth)
    scores = summarize([parts_of(Comparison(truth, truth)), parts_of(Comparison(nothing, truth))])
    assert scores["hd95_px"].images == 1
    assert scores["hd95_px"].mean == 0.0
    assert scores["boundary_f1"].mean == 0.5
