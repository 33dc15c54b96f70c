"""Normalisation: numpy's own percentiles to the last bit, for every frame, without a second copy of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from runtime import InputError
from runtime.artifact.manifest import Normalization
from runtime.frames.normalize import BLOCK, check_frame, intensity_range, normalize, scale

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)
INTEGERS = st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: npst.arrays(dtype, SHAPES))
FLOATS = npst.arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
FRAMES = st.one_of(INTEGERS, FLOATS)


@st.composite
def normalizations(draw) -> Normalization:
    low = draw(st.floats(0, 99.9))
    return Normalization("percentile", low=low, high=draw(st.floats(low, 100, exclude_min=True)))


@given(frame=FRAMES, how=normalizations())
def test_the_range_is_numpys_percentiles_to_the_last_bit(frame: np.ndarray, how: Normalization):
    expected = np.percentile(frame.astype(np.float64), [how.low, how.high], method="linear")
    assert intensity_range(frame, how)[:2] == tuple(expected)


@given(frame=INTEGERS, how=normalizations())
def test_for_integers_no_cast_is_needed_to_agree_with_numpy(frame: np.ndarray, how: Normalization):
    assert intensity_range(frame, how)[:2] == tuple(np.percentile(frame, [how.low, how.high], method="linear"))


@given(frame=FRAMES, how=normalizations())
def test_the_result_is_finite_float32_within_0_and_1(frame: np.ndarray, how: Normalization):
    result = normalize(frame, how)
    assert result.dtype == np.float32
    assert result.shape == frame.shape
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1


@given(frame=FRAMES)
def test_order_is_kept(frame: np.ndarray):
    for how in (Normalization("percentile"), Normalization()):
        zero, one, blank, _ = intensity_range(frame, how)
        shown, values = normalize(frame, how), frame.astype(np.float64)
        of_sample = values != blank if blank is not None else np.ones(frame.shape, bool)
        order = np.argsort(values[of_sample])
        steps = np.diff(shown[of_sample][order])
        assert (steps >= 0).all() if zero <= one else (steps <= 0).all()


@given(frame=FRAMES)
def test_a_frame_is_not_changed(frame: np.ndarray):
    before = frame.copy()
    normalize(frame, Normalization())
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_constant_frame_gives_zeros(dtype: type):
    np.testing.assert_array_equal(normalize(np.full((3, 4), 7, dtype), Normalization()), np.zeros((3, 4)))


def test_tiles_of_a_frame_equal_the_normalised_frame():
    frame = np.random.default_rng(0).integers(0, 60000, (70, 50)).astype(np.uint16)
    limits = intensity_range(frame, Normalization())
    np.testing.assert_array_equal(scale(frame[20:40, 5:30], limits), normalize(frame, Normalization())[20:40, 5:30])


def test_frames_of_several_blocks_are_treated_as_one():
    frame = np.random.default_rng(0).integers(0, 60000, (2200, 1000)).astype(np.uint16)
    assert frame.size > 2 * BLOCK
    low, high = np.percentile(frame, [0.1, 99.8])
    expected = np.clip((frame - low) / (high - low), 0, 1).astype(np.float32)
    np.testing.assert_array_equal(normalize(frame, Normalization()), expected)


def test_a_small_signal_on_a_high_offset_survives():
    frame = np.array([[2.0**23, 2.0**23 + 1, 2.0**23 + 2]], np.float32)
    np.testing.assert_array_equal(normalize(frame, Normalization(low=0, high=100)), [[0, 0.5, 1]])


@pytest.mark.parametrize(
    "frame", [np.arange(12, dtype=">u2").reshape(3, 4), np.arange(24, dtype=np.uint8).reshape(6, 4)[::2]]
)
def test_byte_order_and_strides_do_not_matter(frame: np.ndarray):
    check_frame(frame)
    native = np.ascontiguousarray(frame, frame.dtype.newbyteorder("="))
    np.testing.assert_array_equal(normalize(frame, Normalization()), normalize(native, Normalization()))


NAN = np.zeros((3, 5), np.float32)
NAN[1, 2:4] = np.nan


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ([[1, 2]], ["list", "np.asarray"]),
        (np.zeros((4, 5, 3), np.uint8), ["(4, 5, 3)", "colour", "--channel"]),
        (np.zeros((2, 40, 50), np.uint8), ["(2, 40, 50)", "--channel"]),
        (np.zeros((20, 40, 50), np.uint8), ["(20, 40, 50)", "one plane"]),
        (np.zeros(9, np.uint8), ["(9,)", "reshape"]),
        (np.zeros((0, 5), np.uint8), ["(0, 5)", "empty"]),
        (np.zeros((4, 5)), ["float64", "astype(np.float32)"]),
        (np.zeros((4, 5), bool), ["bool", "astype(np.uint8)"]),
        (np.full((4, 5), -3, np.int32), ["int32", "-3 to -3", "astype(np.uint16)"]),
        (np.zeros((4, 5), complex), ["complex128"]),
        (NAN, ["2 value(s)", "nan", "row 1, column 2", "nan_to_num"]),
        (np.full((1, 1), np.inf, np.float32), ["1 value(s)", "inf", "row 0, column 0"]),
    ],
)
def test_what_is_no_frame_is_refused_with_the_value_and_the_next_step(frame: object, words: list[str]):
    with pytest.raises(InputError) as caught:
        check_frame(frame)
    for word in words:
        assert word in str(caught.value)


def test_values_that_are_not_finite_are_counted_over_all_blocks():
    frame = np.zeros((2100, 1000), np.float32)
    frame[1500, 3] = frame[2099, 999] = -np.inf
    with pytest.raises(InputError, match=r"2 value\(s\) .* -inf at row 1500, column 3"):
        check_frame(frame)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float32])
@pytest.mark.parametrize("limits", [(10.3, 200.7), (0.0, 60000.1), (5.0, 5.5)])
def test_large_and_small_parts_are_scaled_alike_to_the_last_bit(dtype: type, limits: tuple[float, float]):
    frame = np.random.default_rng(3).integers(0, 256, (300, 500)).astype(dtype)
    frame[0, :2] = 0, np.iinfo(dtype).max if frame.dtype.kind == "u" else 1e6
    rows = np.concatenate([scale(row[None], limits) for row in frame])
    assert np.array_equal(scale(frame, limits), rows)
    assert np.array_equal(scale(frame[:, ::-2], limits), rows[:, ::-2])
