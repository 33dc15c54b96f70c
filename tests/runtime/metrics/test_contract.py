"""Every metric: values that are known without it, sums over images, and what a table needs of it."""

import numpy as np
import pytest

from runtime import metrics
from runtime.metrics import Comparison, parts_of, summarize


def two_squares() -> np.ndarray:
    labels = np.zeros((40, 40), np.int32)
    labels[4:14, 4:14] = 1
    labels[20:32, 20:32] = 2
    return labels


PERFECT = {"higher": 1.0, "lower": 0.0}


@pytest.fixture(params=metrics.names())
def metric(request):
    return metrics.load(request.param)


def test_a_metric_is_called_as_its_file(metric):
    assert metrics.load(metric.name) is metric
    assert metric.title and metric.definition


def test_labels_compared_with_themselves_have_the_best_value(metric):
    labels = two_squares()
    assert metric.of_image(metric.parts(Comparison(labels, labels))) == PERFECT[metric.better]


def test_two_empty_images_agree(metric):
    empty = np.zeros((8, 8), np.int32)
    assert metric.of_image(metric.parts(Comparison(empty, empty))) == PERFECT[metric.better]


def test_a_missed_object_has_a_worse_value(metric):
    truth = two_squares()
    missed = np.where(truth == 1, truth, 0)
    value = metric.of_image(metric.parts(Comparison(missed, truth)))
    assert value < 1 if metric.better == "higher" else value > 0


def test_objects_alone_depend_on_how_the_mask_is_split(metric):
    truth = two_squares()
    split = truth.copy()
    split[4:14, 9:14] = 3
    one, other = (metric.of_image(metric.parts(Comparison(labels, truth))) for labels in (truth, split))
    assert (one != other) == metric.objects


def test_numbers_of_objects_do_not_matter(metric):
    truth = two_squares()
    renumbered = np.where(truth == 1, 7, np.where(truth == 2, 3, 0))
    shifted = np.roll(truth, 2, axis=0)
    parts = [metric.parts(Comparison(shifted, labels)) for labels in (truth, renumbered)]
    assert parts[0] == parts[1]


def test_the_mean_of_equal_images_is_the_value_of_one(metric):
    truth = two_squares()
    part = parts_of(Comparison(np.roll(truth, 1, axis=1), truth))
    score = summarize([part] * 6)[metric.name]
    value = metric.of_image(part[metric.name])
    assert score.mean == pytest.approx(value)
    assert score.interval == pytest.approx((value, value))
    assert score.images == 6


def test_pixels_are_pooled_over_images_and_not_averaged():
    truth = two_squares()
    half = np.where(truth == 1, 1, 0)
    score = summarize([parts_of(Comparison(truth, truth)), parts_of(Comparison(half, half[::-1].copy()))])["dice"]
    assert score.mean == pytest.approx(0.5)
    assert score.pooled == pytest.approx(244 / 344)


def test_fewer_than_five_images_have_no_interval():
    truth = two_squares()
    assert summarize([parts_of(Comparison(truth, truth))] * 4)["dice"].interval is None


def test_a_mask_may_differ_from_the_labels():
    truth = two_squares()
    image = Comparison(np.where(truth == 1, 1, 0), truth, mask=truth > 0)
    assert metrics.load("dice").of_image(metrics.load("dice").parts(image)) == 1.0
    assert metrics.load("ap50").of_image(metrics.load("ap50").parts(image)) == 0.5


def test_a_loose_outline_counts_at_iou_050_and_not_at_075():
    truth = two_squares()
    loose = truth.copy()
    loose[14:18, 4:14] = 1  # IoU 100 / 140
    scores = summarize([parts_of(Comparison(loose, truth))])
    assert (scores["ap50"].pooled, scores["ap75"].pooled) == (1.0, 1 / 3)


def test_pairs_say_which_objects_match():
    truth = two_squares()
    labels = np.where(truth == 2, 5, 0)
    labels[0:2, 30:40] = 1
    pairs = metrics.match_pairs(truth, labels)
    assert (pairs.true_areas.tolist(), pairs.pred_areas.tolist()) == ([100, 144], [20, 144])
    assert (pairs.true.tolist(), pairs.pred.tolist(), pairs.ious.tolist()) == ([1], [1], [1.0])


def test_the_signed_count_error_is_of_all_objects_together():
    metric = metrics.load("count_error")
    assert metric.pooled((9.0, 10.0)) == pytest.approx(-0.1)
    assert metric.pooled((3.0, 0.0)) is None


def test_the_functions_are_not_hidden_by_the_metrics_of_their_names():
    for name in metrics.names():
        metrics.load(name)
    assert callable(metrics.dice) and callable(metrics.iou) and callable(metrics.panoptic_quality)
