"""Intensities that lie: what is wrong with a frame is named, and the student sees the sample as in the clean frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime import kernel
from runtime.artifact.manifest import Normalization
from runtime.frames.intensities import LEAST_SIDE
from runtime.frames.normalize import intensities_of, normalize

HOW = Normalization()
PLAIN = Normalization("percentile")
BITS = {"padding": 1, "debris": 2, "inverted": 4, "bright_field": 8}
SHAPES = st.tuples(st.integers(LEAST_SIDE, 50), st.integers(LEAST_SIDE, 50))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_what_is_wrong_is_named_and_nothing_else(odd_frames: dict[str, np.ndarray], dtype: type):
    for name, frame in odd_frames.items():
        expected = {flag for flag in BITS if flag in name}
        assert set(intensities_of(frame.astype(dtype), HOW).flags) == expected, name


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_sample_looks_as_in_the_clean_frame(
    odd_frames: dict[str, np.ndarray], clean_frame: np.ndarray, dtype: type
):
    expected = normalize(clean_frame, PLAIN)
    for name, frame in odd_frames.items():
        same = (frame == clean_frame) | (frame == 4095 - clean_frame)
        same &= clean_frame != 0
        difference = np.abs(normalize(frame.astype(dtype), HOW) - expected)[same]
        assert np.quantile(difference, 0.999) < 0.08, name
        assert difference.mean() < 0.015, name


def test_a_clean_frame_has_the_range_of_its_percentiles(clean_frame: np.ndarray):
    for frame in (clean_frame, clean_frame.astype(np.float32), (clean_frame // 16).astype(np.uint8)):
        assert intensities_of(frame, HOW) == intensities_of(frame, PLAIN)


@pytest.mark.parametrize("change", [lambda f: f + 30000, lambda f: f // 4, lambda f: (f / 65535).astype(np.float32)])
def test_offset_and_gain_change_neither_flags_nor_what_is_seen(odd_frames: dict[str, np.ndarray], change):
    for name in ("", "debris", "inverted", "padding: all sides, 0"):
        frame = odd_frames[name]
        changed = change(np.minimum(frame, 35000))
        assert intensities_of(changed, HOW).flags == intensities_of(np.minimum(frame, 35000), HOW).flags, name
        np.testing.assert_allclose(normalize(changed, HOW), normalize(frame, HOW), atol=0.02, err_msg=name)


def test_padding_is_shown_as_background(odd_frames: dict[str, np.ndarray]):
    frame = odd_frames["padding: all sides, 65535"]
    shown = normalize(frame, HOW)
    assert np.ptp(shown[frame == 65535]) == 0
    assert 0 < shown[0, 0] < 0.1


def test_a_few_bright_nuclei_on_an_empty_background_are_no_debris(clean_frame: np.ndarray):
    rng = np.random.default_rng(2)
    rows, cols = np.mgrid[:300, :300]
    few = np.zeros((300, 300))
    for row, col in ((60, 80), (200, 240)):
        few += 1 / (1 + np.exp(np.clip(1.5 * (np.hypot(rows - row, cols - col) - 10), -50, 50)))
    for background in (0, 40, 400):
        assert intensities_of(rng.poisson(background + 6000 * few).astype(np.uint16), HOW).flags == ()


@pytest.mark.parametrize("background", [0, 3, 100])
def test_noise_has_no_flags(background: int):
    noise = np.random.default_rng(0).poisson(background, (256, 256))
    for dtype in (np.uint8, np.uint16, np.float32):
        assert intensities_of(noise.astype(dtype), HOW).flags == ()


def test_a_saturated_object_at_the_edge_is_no_padding(clean_frame: np.ndarray):
    rows, cols = np.mgrid[:300, :300]
    for row, col in ((0, 150), (0, 0), (299, 40)):
        bright = np.hypot(rows - row, cols - col) < 25
        assert "padding" not in intensities_of(np.where(bright, 4095, clean_frame).astype(np.uint16), HOW).flags


def test_a_frame_without_its_background_keeps_its_range(clean_frame: np.ndarray):
    """Thresholded by other software: the background is one exact level, and no padding."""
    two = np.zeros((300, 300), np.uint16)
    two[20:280, 20:140] = two[20:280, 160:280] = clean_frame[20:280, 20:140] + 1000
    for frame in (np.where(clean_frame > 800, clean_frame, 0).astype(np.uint16), two):
        assert intensities_of(frame, HOW).range[:2] == intensities_of(frame, PLAIN).range[:2]


@settings(max_examples=60)
@given(
    st.one_of(
        arrays(np.uint8, SHAPES, elements=st.integers(0, 3)),
        arrays(np.uint16, SHAPES),
        arrays(np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32)),
    ),
    st.integers(0, 12),
    st.integers(0, 12),
    st.floats(0, 5),
)
def test_the_library_s_rules_are_those_of_the_package(frame: np.ndarray, rows: int, cols: int, low: float):
    frame[:rows], frame[:, :cols] = frame[0, 0], frame[0, 0]
    same_in_c(frame, Normalization(low=low))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_library_sees_the_same_in_odd_frames(odd_frames: dict[str, np.ndarray], dtype: type):
    for frame in odd_frames.values():
        same_in_c(frame.astype(dtype), HOW)
        same_in_c(frame.astype(dtype)[::-1, ::-1], HOW)


def same_in_c(frame: np.ndarray, how: Normalization) -> None:
    seen = intensities_of(frame, how)
    limits, flags = kernel.intensities(frame, how.low, how.high)
    blank = math.nan if seen.range.blank is None else seen.range.blank
    np.testing.assert_array_equal(limits, [seen.range.zero, seen.range.one, blank, seen.range.like])
    assert flags == sum(BITS[flag] for flag in seen.flags)


@given(
    st.one_of(
        arrays(np.uint8, SHAPES),
        arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    )
)
def test_any_frame_has_finite_intensities(frame: np.ndarray):
    shown = normalize(frame, HOW)
    assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 1
