"""Intensities of a plane that is read in blocks: bit for bit those of the whole plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime import InputError
from runtime.artifact.manifest import Normalization
from runtime.frames.histograms import around, count_all
from runtime.frames.intensities import Ask, FrameEdge, Intensities, find
from runtime.frames.normalize import count, intensities_of

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
PERCENTILES = st.tuples(st.floats(0, 50), st.floats(50.1, 100))
FRAMES = st.one_of(
    arrays(np.uint8, SHAPES),
    arrays(np.uint16, SHAPES),
    arrays(np.dtype(">u2"), SHAPES),
    arrays(np.float32, SHAPES, elements=FLOATS),
)


def parts(shape: tuple[int, int], block: int) -> list[tuple[slice, slice]]:
    height, width = shape
    return [
        (slice(row, min(row + block, height)), slice(col, min(col + block, width)))
        for row in range(0, height, block)
        for col in range(0, width, block)
    ]


def in_blocks(frame: np.ndarray, how: Normalization, block: int) -> Intensities:
    def total(ask: Ask) -> np.ndarray:
        found: np.ndarray | int = 0
        for part in parts(frame.shape, block):
            outer, inner = around(part, frame.shape, ask)
            found = found + count(frame[outer], ask, inner)
        return np.asarray(found)

    return find(FrameEdge.of(frame.shape, frame[0], frame[:, -1], frame[-1], frame[:, 0]), how, total)


@given(FRAMES, PERCENTILES, st.integers(1, 12))
def test_blocks_of_any_frame_give_what_the_whole_gives(frame: np.ndarray, percentiles, block: int):
    how = Normalization(low=percentiles[0], high=percentiles[1])
    assert in_blocks(frame, how, block) == intensities_of(frame, how)


@pytest.mark.parametrize("block", [1000, 100, 33])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_padding_and_debris_are_the_same_in_blocks(odd_frames: dict[str, np.ndarray], dtype: type, block: int):
    for name, frame in odd_frames.items():
        expected = intensities_of(frame.astype(dtype), Normalization())
        assert in_blocks(frame.astype(dtype), Normalization(), block) == expected, name


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        count_all(np.array([[1, np.inf]], np.float32))
