"""Tiling: whatever the size, the blended frame is what the model would have given, and no border shows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import EdgescopeError, InputError
from runtime.artifact.manifest import Normalization
from runtime.frames.normalize import intensity_range, normalize
from runtime.frames.tiling import Grid, segment_part, segment_tiles

SIDES = st.integers(1, 70)
HOW = Normalization()


@st.composite
def tilings(draw) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Shape of the frame, shape of the tile, overlap."""
    tile = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    return draw(st.tuples(SIDES, SIDES)), tile, draw(st.integers(0, min(tile) - 1))


def frame_of(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(shape[0]).integers(0, 65535, shape).astype(np.uint16)


@given(tilings())
def test_weights_sum_to_one_at_every_pixel(tiling):
    shape, tile, overlap = tiling
    total = np.zeros(shape)
    for place in Grid.over(shape, tile, overlap):
        total[place.rows, place.cols] += np.outer(place.row_weights, place.col_weights)
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(tilings())
def test_tiles_have_their_size_and_overlap_enough(tiling):
    shape, tile, overlap = tiling
    grid = Grid.over(shape, tile, overlap)
    for axis, size, side in ((grid.rows, shape[0], tile[0]), (grid.cols, shape[1], tile[1])):
        places = [place for place, _ in axis]
        assert places[0].start == 0
        assert places[-1].stop == size
        assert {p.stop - p.start for p in places} == {min(side, size)}
        gaps = [a.stop - b.start for a, b in pairwise(places)]
        assert all(gap >= overlap for gap in gaps)
        assert max(gaps, default=0) - min(gaps, default=0) <= 1  # evenly spaced
    assert len(list(grid)) == len(grid)


@given(tilings())
def test_a_model_that_returns_its_input_returns_the_normalised_frame(tiling):
    shape, tile, overlap = tiling
    frame = frame_of(shape)
    result = segment_tiles(frame, HOW, tile, overlap, 1, lambda pixels: pixels)
    np.testing.assert_allclose(result[0], normalize(frame, HOW), atol=1e-6)


@given(tilings(), st.floats(0, 1, width=32))
def test_a_constant_stays_constant_without_seams(tiling, value: float):
    shape, tile, overlap = tiling
    result = segment_tiles(frame_of(shape), HOW, tile, overlap, 2, lambda _: np.full((1, 2, *tile), value, np.float32))
    assert result.shape == (2, *shape)
    assert result.dtype == np.float32
    assert result.max() <= 1
    np.testing.assert_allclose(result, value, atol=1e-6)


def test_a_border_between_tiles_that_disagree_is_smooth():
    calls = iter(range(100))
    step = segment_tiles(frame_of((32, 56)), HOW, (32, 32), 8, 1, lambda tile: np.full_like(tile, next(calls)))[0, 0]
    assert np.abs(np.diff(step)).max() < 0.25  # a jump of 1 spread over an overlap of 8


def test_a_tile_is_float32_of_the_full_size_and_mirrored_where_the_frame_ends():
    seen = []

    def infer(pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels)
        return pixels

    segment_tiles(np.array([[0, 1, 2]], np.uint8), Normalization(low=0, high=100), (2, 8), 1, 1, infer)
    (pixels,) = seen
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[0, 0], [[0, 0.5, 1, 1, 0.5, 0, 0, 0.5]] * 2)


def test_percentiles_belong_to_the_frame_and_not_to_the_tile():
    frame = np.zeros((16, 64), np.uint8)
    frame[:, :32] = np.arange(32)
    frame[:, 32:] = 200 + np.arange(32)
    result = segment_tiles(frame, HOW, (16, 16), 4, 1, lambda pixels: pixels)[0]
    assert result[:, :32].max() < 0.2
    assert result[:, 32:].min() > 0.8


@pytest.mark.parametrize("overlap", [-1, 8, 100])
def test_an_overlap_that_does_not_fit_is_refused(overlap: int):
    with pytest.raises(InputError, match=f"Overlap {overlap} .*0 to 7"):
        Grid.over((20, 20), (8, 16), overlap)


def test_a_model_that_returns_another_shape_is_an_error():
    with pytest.raises(EdgescopeError, match=r"\(1, 1, 8, 8\).*should be \(1, 2, 8, 8\)"):
        segment_tiles(frame_of((9, 9)), HOW, (8, 8), 2, 2, lambda pixels: pixels)


def test_a_model_that_returns_nan_is_an_error_and_no_empty_mask():
    with pytest.raises(EdgescopeError, match="not finite for the tile at row 0, column 0"):
        segment_tiles(frame_of((9, 9)), HOW, (8, 8), 2, 1, lambda pixels: pixels * np.nan)


def test_a_frame_that_is_none_is_refused():
    with pytest.raises(InputError, match="colour"):
        segment_tiles(np.zeros((9, 9, 3), np.uint8), HOW, (8, 8), 2, 1, lambda pixels: pixels)


@given(tilings(), st.tuples(*[st.floats(0, 1)] * 4))
def test_a_part_is_bit_for_bit_that_of_the_whole(tiling, corners):
    shape, tile, overlap = tiling
    frame = frame_of(shape)
    ends = [sorted({round(corners[k] * size), round(corners[k + 2] * size)}) for k, size in enumerate(shape)]
    part = tuple(slice(e[0], e[-1]) if len(e) == 2 else slice(0, size) for e, size in zip(ends, shape, strict=True))

    def model(pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([np.sqrt(pixels), np.sin(pixels * 3) ** 2], axis=1)  # blends that do round

    grid = Grid.over(shape, tile, overlap).touching(part)

    def read(rows: slice, cols: slice) -> np.ndarray:
        inside = [n.start <= s.start and s.stop <= n.stop for n, s in zip(grid.needed, (rows, cols), strict=True)]
        assert all(inside)
        return frame[rows, cols]

    found = segment_part(read, shape, part, intensity_range(frame, HOW), tile, overlap, 2, model)
    np.testing.assert_array_equal(found, segment_tiles(frame, HOW, tile, overlap, 2, model)[:, part[0], part[1]])


@given(tilings(), st.integers(0, 2**32 - 1))
def test_tiles_are_summed_from_zero_in_their_order_and_clipped(tiling, seed: int):
    shape, tile, overlap = tiling
    grid = Grid.over(shape, tile, overlap)
    outputs = np.random.default_rng(seed).uniform(-0.5, 1.5, (len(grid), 2, *tile)).astype(np.float32)
    outputs[..., 0] = -0.0
    expected = np.zeros((2, *shape), np.float32)
    for place, output in zip(grid, outputs, strict=True):
        height, width = len(place.row_weights), len(place.col_weights)
        weights = place.row_weights[:, None] * place.col_weights
        expected[:, place.rows, place.cols] += output[:, :height, :width] * weights
    expected = np.where(expected > 0, np.minimum(expected, 1), np.float32(0))
    for out in (None, np.full((2, *shape), np.nan, np.float32)):
        copies = iter(outputs[:, None].copy())
        result = segment_tiles(frame_of(shape), HOW, tile, overlap, 2, lambda _, left=copies: next(left), out=out)
        assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", [(32, 48), (32, 40), (20, 48), (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_one_tile_gives_what_blending_one_tile_gives(shape: tuple[int, int], dtype: type):
    """As segment_part blends it, which knows no short cut."""
    frame = np.random.default_rng(1).integers(0, 255, shape).astype(dtype)

    def infer(pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([1.2 * pixels - 0.1, 1 - pixels], axis=1)  # beyond 0 and 1, too

    limits = intensity_range(frame, Normalization())
    whole = (slice(0, shape[0]), slice(0, shape[1]))
    due = segment_part(lambda rows, cols: frame[rows, cols], shape, whole, limits, (32, 48), 8, 2, infer)
    out = np.full((2, *shape), 7, np.float32)
    found = segment_tiles(frame, Normalization(), (32, 48), 8, 2, infer)
    assert np.array_equal(found, due) and found.flags.c_contiguous
    assert segment_tiles(frame, Normalization(), (32, 48), 8, 2, infer, out=out) is out
    assert np.array_equal(out, due)


def test_a_frame_of_one_tile_takes_no_memory_beside_the_model_s():
    outputs: list[np.ndarray] = []

    def infer(pixels: np.ndarray) -> np.ndarray:
        outputs.append(pixels.repeat(2, axis=1))
        return outputs[0]

    found = segment_tiles(np.eye(64, dtype=np.uint8), Normalization(), (64, 64), 8, 2, infer)
    assert np.shares_memory(found, outputs[0])
