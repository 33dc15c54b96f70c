"""Percentiles of a plane in blocks: bit for bit those of the whole plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime import InputError
from runtime.artifact.manifest import Normalization
from runtime.frames.histograms import count_lower, count_upper, range_of_counts, uppers_needed
from runtime.frames.normalize import intensity_range

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
PERCENTILES = st.tuples(st.floats(0, 50), st.floats(50.1, 100))


def blocks(frame: np.ndarray) -> list[np.ndarray]:
    return [part for rows in np.array_split(frame, 2) for part in np.array_split(rows, 3, axis=1) if part.size]


@given(st.one_of(arrays(np.uint8, SHAPES), arrays(np.uint16, SHAPES), arrays(np.dtype(">u2"), SHAPES)), PERCENTILES)
def test_integers_need_one_pass(frame: np.ndarray, percentiles):
    how = Normalization(low=percentiles[0], high=percentiles[1])
    counts = sum(count_upper(block) for block in blocks(frame))
    assert range_of_counts(counts, how) == intensity_range(frame, how)


@given(arrays(np.float32, SHAPES, elements=FLOATS), PERCENTILES)
def test_floats_need_two(frame: np.ndarray, percentiles):
    how = Normalization(low=percentiles[0], high=percentiles[1])
    counts = sum(count_upper(block) for block in blocks(frame))
    uppers = uppers_needed(counts, how)
    lower = sum(count_lower(block, uppers) for block in blocks(frame))
    assert range_of_counts(counts, how, uppers, lower) == intensity_range(frame, how)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        count_upper(np.array([[1, np.inf]], np.float32))
