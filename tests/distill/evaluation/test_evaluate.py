"""Scores of a student: by hand on empty images, and against torchmetrics and a slow search on others."""

import json

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

from distill.datasets import Sample
from distill.evaluation.evaluate import score
from distill.networks.spec import StudentSpec
from runtime import metrics
from runtime.artifact.manifest import Objects
from runtime.objects.instances import label_objects
from runtime.segmentation.result import Segmentation

SPEC = StudentSpec("given", "mobilenetv3", outputs=("foreground",), threshold=0.5, objects=Objects(0.5, 1))


def given(frame: np.ndarray) -> Segmentation:
    """A student that takes its probabilities from the frame."""
    return Segmentation(frame, None, SPEC.threshold, SPEC.objects)


def connected(mask: np.ndarray) -> np.ndarray:
    """Label images of what touches at an edge."""
    labels = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, output=labels)
    return labels


def sample(labels: np.ndarray, found: np.ndarray, name: str = "one") -> Sample:
    return Sample(name, found[None].astype(np.float32), ("nucleus",), {"nuclei": labels.astype(np.int32)})


EMPTY = np.zeros((16, 16))
SQUARE = np.pad(np.ones((6, 6)), 5)


@pytest.mark.parametrize(
    ("labels", "found", "value"),
    [(EMPTY, EMPTY, 1.0), (EMPTY, SQUARE, 0.0), (SQUARE, EMPTY, 0.0), (SQUARE, SQUARE, 1.0)],
)
@pytest.mark.parametrize("metric", ["dice", "iou", "ap50"])
def test_empty_images(labels: np.ndarray, found: np.ndarray, value: float, metric: str):
    result = score(given, SPEC, [sample(labels, found)], "nuclei").scores[metric]
    assert (result.mean, result.pooled) == (value, value)


@pytest.mark.parametrize(
    ("labels", "found", "counts"),
    [(EMPTY, SQUARE, (0, 36, 0)), (SQUARE, EMPTY, (0, 0, 36)), (SQUARE, np.ones((16, 16)), (36, 220, 0))],
)
def test_what_is_invented_is_a_false_positive_and_what_is_missed_a_false_negative(labels, found, counts):
    (parts,) = score(given, SPEC, [sample(labels, found)], "nuclei").parts
    assert parts["dice"] == counts


def test_an_empty_image_weighs_in_the_mean_and_not_in_the_pool():
    half = SQUARE.copy()
    half[:, 8:] = 0
    evaluation = score(given, SPEC, [sample(SQUARE, half), sample(EMPTY, EMPTY)], "nuclei")
    assert evaluation.to_dict()["images"] == 2
    assert evaluation.scores["dice"].pooled == pytest.approx(2 / 3)
    assert evaluation.scores["dice"].mean == pytest.approx((2 / 3 + 1) / 2)


@pytest.fixture(scope="module")
def noisy() -> list[Sample]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(4):
        blobs = np.kron(rng.random((8, 8)) > 0.6, np.ones((6, 6)))
        found = np.roll(blobs, 1, axis=1) * (rng.random(blobs.shape) > 0.03)
        made.append(sample(connected(blobs), found, f"image {number}"))
    return made


def test_overlap_equals_torchmetrics(noisy: list[Sample]):
    scores = score(given, SPEC, noisy, "nuclei").scores
    truth = [torch.from_numpy(one.labels["nuclei"] > 0).int() for one in noisy]
    found = [torch.from_numpy(one.frame > 0.5).int() for one in noisy]
    for key, metric in (("dice", binary_f1_score), ("iou", binary_jaccard_index)):
        singly = [float(metric(f, t)) for f, t in zip(found, truth, strict=True)]
        assert scores[key].mean == pytest.approx(np.mean(singly), abs=1e-6)
        assert scores[key].pooled == pytest.approx(float(metric(torch.stack(found), torch.stack(truth))), abs=1e-6)


def test_objects_equal_a_search_over_all_pairs(noisy: list[Sample]):
    evaluation = score(given, SPEC, noisy, "nuclei")
    total = np.zeros(3, int)
    for one, parts in zip(noisy, evaluation.parts, strict=True):
        truth, found = one.labels["nuclei"], label_objects(one.frame, None, 0.5, SPEC.objects)
        pairs = 0
        for i in range(1, truth.max() + 1):
            for j in range(1, found.max() + 1):
                both = np.sum((truth == i) & (found == j))
                pairs += both / np.sum((truth == i) | (found == j)) > 0.5
        counts = np.array([pairs, found.max() - pairs, truth.max() - pairs])
        assert list(parts["ap50"]) == counts.tolist()
        total += counts
    assert evaluation.scores["ap50"].pooled == total[0] / total.sum()


def test_the_threshold_is_the_student_s():
    from dataclasses import replace

    dim = sample(SQUARE, SQUARE * 0.4)
    assert score(given, SPEC, [dim], "nuclei").scores["dice"].mean == 0.0
    lower = replace(given(dim.frame), threshold=0.3)
    assert score(lambda frame: lower, SPEC, [dim], "nuclei").scores["dice"].mean == 1.0


def test_progress_is_told_after_every_image(noisy: list[Sample]):
    told = []
    score(given, SPEC, noisy, "nuclei", lambda: told.append(1))
    assert len(told) == len(noisy)


def test_the_result_is_json(noisy: list[Sample]):
    scores = score(given, SPEC, noisy, "nuclei").to_dict()
    assert json.loads(json.dumps(scores)) == {**scores, "scores": json.loads(json.dumps(scores["scores"]))}
    assert set(scores["scores"]) <= set(metrics.names())
    assert [row["name"] for row in scores["per_image"]] == [one.name for one in noisy]


def test_outlines_and_counts_are_compared_image_by_image():
    two = np.pad(np.ones((4, 4)), ((2, 10), (2, 10))) + np.pad(np.ones((4, 4)), ((9, 3), (9, 3)))
    one = two * (np.arange(16) < 8)
    scores = score(given, SPEC, [sample(connected(two), one), sample(EMPTY, SQUARE)], "nuclei").scores
    assert scores["count_error"].mean == pytest.approx((1 / 2 + 1 / 1) / 2)
    assert scores["boundary_f1"].mean == pytest.approx((2 * 1.0 * 0.5 / 1.5 + 0.0) / 2)
