"""What a teacher is shown: the planes it wants, and the controls of a study."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.datasets import Sample
from distill.teaching.views import Views, derangement, fit
from runtime.errors import InputError

CHANNELS = ("nucleus", "membrane")


def sample(name: str, seed: int, shape: tuple[int, int] = (6, 8)) -> Sample:
    image = np.random.default_rng(seed).integers(1, 60000, (2, *shape), np.uint16)
    return Sample(name, image, CHANNELS, {"nuclei": np.zeros(shape, np.int32)})


SAMPLES = [sample(name, seed) for seed, name in enumerate("abcd")]


def seen(membrane: str, channels: tuple[str, ...] = CHANNELS):
    views = Views(SAMPLES, channels, membrane)
    return [views.of(index, one) for index, one in enumerate(SAMPLES)]


def test_own_planes_come_in_the_teachers_order():
    views = Views(SAMPLES, ("membrane", "nucleus"), "own")
    assert np.array_equal(views.of(0, SAMPLES[0]), SAMPLES[0].image[::-1])


def test_blank_takes_the_membrane_away_and_leaves_the_data_alone():
    before = SAMPLES[0].image.copy()
    for one, view in zip(SAMPLES, seen("blank"), strict=True):
        assert np.array_equal(view[0], one.frame)
        assert not view[1].any()
    assert np.array_equal(SAMPLES[0].image, before)


def test_shuffled_gives_the_membrane_of_another_image_each_once():
    views = seen("shuffled")
    used = [next(i for i, other in enumerate(SAMPLES) if np.array_equal(other.image[1], view[1])) for view in views]
    assert sorted(used) == [0, 1, 2, 3]
    assert all(mine != other for mine, other in enumerate(used))
    assert all(np.array_equal(view[0], one.frame) for one, view in zip(SAMPLES, views, strict=True))


def test_shuffling_is_the_same_every_time():
    assert all(np.array_equal(*pair) for pair in zip(seen("shuffled"), seen("shuffled"), strict=True))


def test_a_membrane_of_another_size_is_cut_or_mirrored():
    pair = [sample("small", 1, (4, 5)), sample("large", 2, (9, 7))]
    views = Views(pair, CHANNELS, "shuffled")
    assert np.array_equal(views.of(0, pair[0])[1], pair[1].image[1, :4, :5])
    assert np.array_equal(views.of(1, pair[1])[1], np.pad(pair[0].image[1], ((0, 5), (0, 2)), mode="symmetric"))


@pytest.mark.parametrize(
    ("samples", "channels", "membrane", "said"),
    [
        (SAMPLES[:1], CHANNELS, "shuffled", "there is no other"),
        (SAMPLES, ("nucleus",), "blank", "no channel besides the nucleus"),
        (SAMPLES, (), "shuffled", "no channel besides the nucleus"),
    ],
)
def test_a_control_that_makes_no_sense_is_refused(samples, channels, membrane: str, said: str):
    with pytest.raises(InputError, match=said):
        Views(samples, channels, membrane)


def test_a_missing_channel_is_named_with_those_that_are_there():
    with pytest.raises(InputError, match=r"a has no channel 'er', it has nucleus, membrane"):
        Views(SAMPLES, ("nucleus", "er"), "own").of(0, SAMPLES[0])


@given(st.integers(2, 60), st.integers(0, 2**32))
def test_a_derangement_moves_everything(count: int, seed: int):
    order = derangement(count, seed)
    assert sorted(order) == list(range(count))
    assert all(place != value for place, value in enumerate(order))


@given(*[st.integers(1, 40)] * 4)
def test_a_fitted_plane_has_the_size_and_begins_alike(height: int, width: int, rows: int, cols: int):
    plane = np.arange(height * width).reshape(height, width)
    fitted = fit(plane, (rows, cols))
    assert fitted.shape == (rows, cols)
    assert np.array_equal(fitted[:height, :width], plane[:rows, :cols])
