"""Intensity ranges, scaling, tiles and blending in the kernel: bit for bit what numpy computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime import EdgescopeError, InputError, kernel

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))
FRAMES = st.one_of(
    arrays(np.uint8, SHAPES),
    arrays(np.uint16, SHAPES),
    arrays(np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32)),
)
INTEGERS = st.one_of(arrays(np.uint8, SHAPES), arrays(np.uint16, SHAPES))


def levels_of(frame: np.ndarray) -> np.ndarray:
    counts = np.zeros(np.iinfo(frame.dtype).max + 1, np.int64)
    kernel.count_levels(frame, counts)
    return counts


@given(INTEGERS)
def test_levels_are_counted(frame: np.ndarray):
    np.testing.assert_array_equal(levels_of(frame), np.bincount(frame.ravel(), minlength=np.iinfo(frame.dtype).max + 1))


@given(INTEGERS, st.integers(1, 3), st.integers(1, 3))
def test_levels_of_a_view_are_those_of_its_copy(frame: np.ndarray, rows: int, cols: int):
    for view in (frame[::rows, ::cols], frame[::-1], frame.T, frame[rows:, cols:].copy().astype(frame.dtype)):
        if view.size:
            np.testing.assert_array_equal(levels_of(view), levels_of(view.copy()))


@given(FRAMES, st.floats(0, 100), st.floats(0, 100))
def test_the_range_is_that_of_numpy_percentile(frame: np.ndarray, one: float, other: float):
    low, high = sorted((one, other))
    limits, flags = kernel.intensities(frame, low, high, is_robust=False)
    np.testing.assert_array_equal(limits[:2], np.percentile(frame.astype(np.float64), (low, high)))
    assert math.isnan(limits[2]) and flags == 0


@given(FRAMES, st.floats(-100, 70000), st.floats(0, 70000), st.integers(0, 4), st.data())
def test_pixels_near_some_values_are_marked(
    frame: np.ndarray, low: float, more: float, reach: int, data: st.DataObject
):
    before = data.draw(arrays(np.uint8, frame.shape, elements=st.integers(0, 1)))
    marks = before.copy()
    kernel.mark(frame, (low, low + more, reach), marks)
    values = frame.astype(np.float64)
    hits = np.pad((values >= low) & (values <= low + more), reach)
    near = np.lib.stride_tricks.sliding_window_view(hits, (2 * reach + 1,) * 2).any(axis=(2, 3))
    np.testing.assert_array_equal(marks, near | (before == 1))


@given(FRAMES, st.data())
def test_pixels_that_are_left_out_are_not_counted(frame: np.ndarray, data: st.DataObject):
    marks = data.draw(arrays(np.uint8, frame.shape, elements=st.integers(0, 1)))
    counts = np.zeros(256 if frame.dtype == np.uint8 else 65536, np.int64)
    expected = counts.copy()
    one_row = frame[marks == 0][None]
    if frame.dtype == np.float32:
        kernel.count_keys(frame, counts, (), marks)
        kernel.count_keys(one_row, expected)
        uppers = np.flatnonzero(counts)[:3].tolist()
        if uppers:
            lower, only = np.zeros((2, len(uppers), 65536), np.int64)
            kernel.count_keys(frame, lower, uppers, marks)
            kernel.count_keys(one_row, only, uppers)
            np.testing.assert_array_equal(lower, only)
            assert lower.sum() == counts[uppers].sum()
    else:
        kernel.count_levels(frame, counts, marks)
        kernel.count_levels(one_row, expected)
    np.testing.assert_array_equal(counts, expected)


@given(arrays(np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32)))
def test_keys_are_counted_by_halves_and_sort_like_their_floats(frame: np.ndarray):
    frame += np.float32(0)  # -0.0, which is 0.0 to a sort, becomes 0.0
    upper = np.zeros(65536, np.int64)
    assert kernel.count_keys(frame, upper)
    bits = np.sort(frame.ravel()).view(np.uint32)
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint32)
    assert (np.diff(keys.astype(np.int64)) >= 0).all()
    np.testing.assert_array_equal(upper, np.bincount(keys >> 16, minlength=65536))
    lower = np.zeros(65536, np.int64)
    kernel.count_keys(frame, lower, (int(keys[0] >> 16),))
    np.testing.assert_array_equal(lower, np.bincount(keys[keys >> 16 == keys[0] >> 16] & 65535, minlength=65536))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_keys_show_what_is_not_finite(value: float):
    frame = np.zeros((4, 5), np.float32)
    frame[2, 3] = value
    assert not kernel.count_keys(frame, np.zeros(65536, np.int64))


@given(FRAMES, st.floats(-1000, 70000), st.floats(-1000, 70000), st.integers(0, 25), st.integers(0, 25))
def test_scaling_is_that_of_numpy(frame: np.ndarray, low: float, high: float, more_rows: int, more_cols: int):
    result = np.full((frame.shape[0] + more_rows, frame.shape[1] + more_cols), np.nan, np.float32)
    kernel.scale(frame, (low, high), result)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        shares = ((frame.astype(np.float64) - low) / (high - low)).clip(0, 1)
    expected = shares if high != low else np.zeros(frame.shape)
    padded = np.pad(expected.astype(np.float32), [(0, more_rows), (0, more_cols)], mode="symmetric")
    np.testing.assert_array_equal(result, padded)


@given(st.integers(1, 700), st.integers(1, 300), st.integers(0, 80))
def test_tiles_are_spaced_evenly_and_their_weights_sum_to_one(size: int, tile: int, overlap: int):
    overlap = min(overlap, tile - 1)
    starts, weights = kernel.tiles(size, tile, overlap)
    steps = max(0, math.ceil((size - tile) / (tile - overlap)))
    assert starts.tolist() == [round(i * (size - tile) / steps) if steps else 0 for i in range(steps + 1)]
    inside = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 0.5
    window = np.sin(np.pi / 2 * np.minimum(1, inside / max(overlap, 1))) ** 2
    total = np.zeros(max(size, starts[-1] + tile))
    for start in starts:
        total[start : start + tile] += window
    for start, weight in zip(starts, weights, strict=True):
        here = min(tile, size - start)
        np.testing.assert_array_equal(weight[:here], (window / total[start : start + tile]).astype(np.float32)[:here])


@pytest.mark.parametrize(("size", "tile", "overlap"), [(0, 4, 0), (4, 0, 0), (4, 4, 4), (4, 4, -1)])
def test_tiles_that_cannot_be_laid_are_refused(size: int, tile: int, overlap: int):
    with pytest.raises(InputError, match="out of its range"):
        kernel.tiles(size, tile, overlap)


NOTHING, ALL = (0, 0), (99, 99)  # the pixels before them


@pytest.mark.parametrize("first", [NOTHING, (2, 3), (4, 1), (0, 5), ALL])
@pytest.mark.parametrize("last", [NOTHING, (2, 3), (5, 6), (6, 2), ALL])
def test_blending_sets_adds_and_clips_weighted_pixels(first: tuple[int, int], last: tuple[int, int]):
    rng = np.random.default_rng(0)
    output, rows, cols = (rng.random(shape, np.float32) * 3 - 1 for shape in ((6, 7), 6, 7))
    whole = rng.random((20, 30), np.float32) * 3 - 1
    expected = whole.copy()
    part = expected[3:9, 4:11]
    part[first[0] :, first[1] :] = 0
    part += output * (rows[:, None] * cols)
    part[: last[0], : last[1]] = part[: last[0], : last[1]].clip(0, 1)
    assert kernel.blend(output, rows, cols, whole[3:9, 4:11], first, last)
    np.testing.assert_array_equal(whole, expected)


def test_negative_places_are_refused():
    ones = np.ones(4, np.float32)
    with pytest.raises(InputError, match="out of its range"):
        kernel.blend(np.ones((4, 4), np.float32), ones, ones, np.zeros((4, 4), np.float32), (-1, 0), ALL)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_one_value_is_taken_for_another(dtype: type):
    frame = np.array([[1, 2, 3, 200]], dtype).repeat(9, 0)
    result = np.zeros(frame.shape, np.float32)
    kernel.scale(frame, (1, 3, 200, 1.5), result)
    np.testing.assert_array_equal(result[0], [0, 0.5, 1, 0.25])
    kernel.scale(frame, (3, 1, 1, 3), result)
    np.testing.assert_array_equal(result[0], [0, 0.5, 0, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_blending_and_clipping_show_what_is_not_finite(value: float):
    output, ones = np.zeros((3, 4), np.float32), np.ones(4, np.float32)
    assert kernel.blend(output, ones[:3], ones, np.zeros((3, 4), np.float32), ALL, NOTHING)
    assert kernel.clip(output)
    output[1, 2] = value
    assert not kernel.blend(output, ones[:3], ones, np.zeros((3, 4), np.float32), ALL, NOTHING)
    assert not kernel.clip(output)


def test_clipping_is_that_of_numpy():
    values = np.array([-1, -0.0, 0, 0.3, 1, 1.5], np.float32)
    expected = values.clip(0, 1)
    kernel.clip(values)
    np.testing.assert_array_equal(values, expected)


def test_a_library_that_is_not_there_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(kernel, "LIBRARY", tmp_path / "edgescope.so")
    kernel._library.cache_clear()
    try:
        with pytest.raises(EdgescopeError, match=r"edgescope\.so .*build it with: python -m runtime\.kernel\.build"):
            kernel.tiles(10, 5, 1)
    finally:
        kernel._library.cache_clear()
