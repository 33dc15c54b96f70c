"""Whole frames through a network in torch: one plane as at deployment, several planes the same way."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill import datasets
from distill.evaluation.predict import predictor, seen
from distill.networks.spec import StudentSpec

ONE = StudentSpec("one", "mobilenetv3", tile=(64, 64))
TWO = StudentSpec("two", "mobilenetv3", channels=("nucleus", "membrane"), tile=(64, 64))


class Mean(torch.nn.Module):
    """Two outputs: the planes' mean, and the first plane."""

    def forward(self, tile: torch.Tensor) -> torch.Tensor:
        assert tile.shape[-2:] == (64, 64)
        return torch.cat([tile.mean(1, keepdim=True), tile[:, :1]], dim=1)


def planes(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


@given(st.integers(1, 150), st.integers(1, 150))
def test_one_plane_among_several_is_segmented_as_a_frame(height: int, width: int):
    """The path of several planes is a second one: with one plane it must agree with the runtime's own."""
    frame = planes((height, width))
    predict = predictor(Mean(), ONE)
    np.testing.assert_allclose(predict(frame[None]), predict(frame), atol=1e-6)


def test_each_plane_is_scaled_between_its_own_percentiles():
    image = planes((2, 100, 90))
    brighter = image.astype(np.float32) * np.float32([[[1]], [[50]]]) + np.float32([[[0]], [[900]]])
    predict = predictor(Mean(), TWO)
    np.testing.assert_allclose(predict(image), predict(brighter), atol=1e-4)


def test_the_first_plane_comes_first():
    image = planes((2, 70, 70))
    first = predictor(Mean(), ONE)(image[0])[1]
    np.testing.assert_allclose(predictor(Mean(), TWO)(image)[1], first, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 30, 200), (2, 64, 64), (2, 129, 65)])
def test_probabilities_cover_the_frame(shape: tuple[int, ...]):
    found = predictor(Mean(), TWO)(planes(shape))
    assert found.shape == (2, *shape[1:])
    assert found.dtype == np.float32
    assert 0.5 <= found.min() <= found.max() <= 1  # of logits in [0, 1]


def test_a_student_of_one_channel_sees_the_frame_and_a_teacher_its_planes():
    sample = datasets.open("synthetic:1@1?size=64")[0]
    np.testing.assert_array_equal(seen(sample, ONE), sample.frame)
    np.testing.assert_array_equal(seen(sample, TWO), sample.planes(("nucleus", "membrane")))
