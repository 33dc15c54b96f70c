"""Overlap: the figures of scikit-image, SciPy and torchmetrics, and defined answers for what is empty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from runtime import InputError
from runtime.metrics import ObjectCounts, confusion, dice, dice_of, iou, iou_of, match_objects

SHAPE = (6, 7)
MASKS = npst.arrays(bool, SHAPE)
LABELS = npst.arrays(np.int32, SHAPE, elements=st.integers(0, 5))
EMPTY = np.zeros(SHAPE, bool)
FULL = np.ones(SHAPE, bool)


@given(MASKS, MASKS)
def test_confusion_is_scikit_images(a: np.ndarray, b: np.ndarray):
    contingency_table = pytest.importorskip("skimage.metrics").contingency_table
    table = np.zeros((2, 2), int)
    found = contingency_table(a.astype(int), b.astype(int)).toarray().astype(int)
    table[: found.shape[0], : found.shape[1]] = found
    assert confusion(a, b) == (table[1, 1], table[0, 1], table[1, 0])


@given(MASKS, MASKS)
def test_dice_is_the_f1_score_and_iou_the_jaccard_index(a: np.ndarray, b: np.ndarray):
    distance = pytest.importorskip("scipy.spatial.distance")
    if a.any() or b.any():
        assert dice(a, b) == pytest.approx(1 - distance.dice(a.ravel(), b.ravel()))
        assert iou(a, b) == pytest.approx(1 - distance.jaccard(a.ravel(), b.ravel()))


@pytest.mark.slow
def test_dice_and_iou_are_torchmetrics():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional")
    random = np.random.default_rng(0)
    a, b = random.random((2, 50, 60)) > 0.6
    left, right = torch.from_numpy(a).int(), torch.from_numpy(b).int()
    assert dice(a, b) == pytest.approx(float(functional.f1_score(left, right, "binary")))
    assert iou(a, b) == pytest.approx(float(functional.jaccard_index(left, right, "binary")))


@pytest.mark.parametrize("measure", [dice, iou])
def test_empty_masks_are_defined(measure):
    assert measure(EMPTY, EMPTY) == 1.0
    assert measure(EMPTY, FULL) == 0.0
    assert measure(FULL, EMPTY) == 0.0
    assert measure(FULL, FULL) == 1.0


def test_counts_of_several_images_give_the_pooled_figure():
    pooled = [sum(counts) for counts in zip(confusion(FULL, FULL), confusion(EMPTY, FULL), strict=True)]
    assert dice_of(*pooled) == pytest.approx(2 / 3)
    assert iou_of(*pooled) == pytest.approx(1 / 2)
    assert dice_of(0, 0, 0) == iou_of(0, 0, 0) == 1.0


def test_integers_count_as_masks_and_floats_do_not():
    assert dice(np.full(SHAPE, 255, np.uint8), FULL) == 1.0
    with pytest.raises(InputError, match="float32; compare with a threshold"):
        dice(np.ones(SHAPE, np.float32), FULL)


def test_masks_of_different_frames_are_refused():
    with pytest.raises(InputError, match=r"\(6, 7\) and \(7, 6\)"):
        dice(EMPTY, EMPTY.T)


@given(LABELS, LABELS, st.sampled_from([0.5, 0.6, 0.75, 0.9]))
def test_objects_match_as_by_definition(true: np.ndarray, pred: np.ndarray, threshold: float):
    true_objects = [true == n for n in np.unique(true) if n]
    pred_objects = [pred == n for n in np.unique(pred) if n]
    tp = sum((t & p).sum() > threshold * (t | p).sum() for t in true_objects for p in pred_objects)
    assert match_objects(true, pred, threshold) == ObjectCounts(tp, len(pred_objects) - tp, len(true_objects) - tp)


@given(LABELS)
def test_objects_match_themselves_whatever_their_numbers(labels: np.ndarray):
    renumbered = np.where(labels > 0, 70000 - 3 * labels, 0)
    count = len(np.unique(labels[labels > 0]))
    assert match_objects(labels, renumbered) == ObjectCounts(count, 0, 0)
    assert match_objects(labels, renumbered).average_precision == 1.0


def test_exactly_half_is_no_match():
    true, pred = np.array([[1, 1, 0]]), np.array([[1, 0, 0]])
    assert match_objects(true, pred) == ObjectCounts(0, 1, 1)


def test_empty_label_images_are_defined():
    none, one = np.zeros((2, 2), np.int32), np.ones((2, 2), np.int32)
    assert match_objects(none, none).average_precision == 1.0
    assert match_objects(none, one) == ObjectCounts(0, 1, 0)
    assert match_objects(one, none) == ObjectCounts(0, 0, 1)
    assert match_objects(one, none).average_precision == 0.0


def test_counts_add_up():
    assert ObjectCounts(1, 2, 3) + ObjectCounts(10, 20, 30) == ObjectCounts(11, 22, 33)
    assert ObjectCounts(1, 2, 3).average_precision == pytest.approx(1 / 6)


@pytest.mark.parametrize("threshold", [0.3, 1.0])
def test_a_threshold_at_which_partners_are_not_unique_is_refused(threshold: float):
    with pytest.raises(InputError, match=str(threshold)):
        match_objects(np.ones((2, 2), int), np.ones((2, 2), int), threshold)


def test_labels_must_be_whole_numbers():
    with pytest.raises(InputError, match="float64"):
        match_objects(np.ones((2, 2)), np.ones((2, 2)))
