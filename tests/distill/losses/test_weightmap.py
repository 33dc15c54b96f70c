"""The U-Net's weight map against distances from every pixel to every pixel of every object."""

import math

import numpy as np
import pytest

from distill.losses.weightmap import LOSS, weight_map


def slow_map(labels: np.ndarray, border: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    objects = [np.argwhere(labels == number) for number in np.unique(labels) if number]
    share = (labels > 0).mean()
    result = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        inside = labels[place] > 0
        result[place] = min(10.0, 0.5 / (share if inside else 1 - share))
        distances = sorted(np.hypot(*(pixels - place).T).min() for pixels in objects)
        if not inside and len(distances) > 1 and sum(distances[:2]) <= 4 * sigma:
            result[place] += border * math.exp(-(sum(distances[:2]) ** 2) / (2 * sigma**2))
    return result


def two_squares(gap: int) -> np.ndarray:
    labels = np.zeros((20, 40), np.int64)
    labels[5:15, 5:15] = 1
    labels[5:15, 15 + gap : 25 + gap] = 2
    return labels


def test_the_loss_equals_slow_numpy(batch_of, arrays):
    batch = batch_of()
    student, truth, _ = arrays(batch)
    weights = np.stack([slow_map(labels) for labels in batch.instances.numpy()])
    entropies = -(truth * np.log(student) + (1 - truth) * np.log(1 - student))
    assert float(LOSS(batch).detach()) == pytest.approx((weights * entropies).mean(), rel=1e-5)


@pytest.mark.parametrize("sigma", [0.7, 1.6, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_windows_around_the_objects_lose_nothing(seed: int, sigma: float):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((40, 33)) > 0.985, rng.integers(1, 9, (40, 33)), 0)
    np.testing.assert_allclose(weight_map(labels, sigma=sigma), slow_map(labels, sigma=sigma), rtol=1e-6)


def test_what_is_cut_off_is_small():
    labels = np.zeros((3, 25), np.int64)
    labels[:, 0], labels[:, -1] = 1, 2  # the middle is 12 px from both: 24 px, over 4 sigma = 20 px
    cut_off = 10 * math.exp(-(24**2) / 50)
    assert weight_map(labels)[1, 12] == pytest.approx(0.5 / (23 / 25), rel=1e-6)
    assert cut_off < 0.0034


def test_the_narrower_a_gap_the_heavier_it_is():
    middle = [weight_map(two_squares(gap))[10, 15 + gap // 2] for gap in (2, 4, 8)]
    assert middle == sorted(middle, reverse=True)
    assert middle[0] > 8


def test_one_object_has_no_gap():
    labels = np.zeros((12, 12), np.int64)
    labels[3:7, 3:7] = 5
    assert set(np.unique(weight_map(labels))) == {np.float32(0.5 / (16 / 144)), np.float32(0.5 / (128 / 144))}


def test_both_classes_weigh_the_same_in_all():
    labels = two_squares(gap=10)
    weights = weight_map(labels, border=0)
    assert weights[labels > 0].sum() == pytest.approx(weights[labels == 0].sum())


def test_a_speck_is_not_weighted_beyond_measure():
    labels = np.zeros((64, 64), np.int64)
    labels[30, 30] = 1
    assert weight_map(labels).max() == 10


@pytest.mark.parametrize("number", [0, 4], ids=["empty", "full"])
def test_a_crop_of_one_class_is_weighted_evenly(number: int):
    assert (weight_map(np.full((8, 9), number)) == 0.5).all()


def test_touching_objects_that_fill_the_crop_are_not_taken_for_background():
    labels = np.ones((8, 8), np.int64)
    labels[:, 4:] = 2
    assert (weight_map(labels) == 0.5).all()
