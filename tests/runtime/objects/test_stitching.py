"""Objects across tiles and blocks: whatever the cut, they are those of the whole frame, up to their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import InputError
from runtime.artifact.manifest import Normalization, Objects
from runtime.frames.tiling import segment_tiles
from runtime.objects.instances import label_objects
from runtime.objects.stitching import blocks_of, join, label_block, largest_overlaps

WHOLE_RANGE = Normalization(low=0, high=100)


def same_objects(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two labellings differ in their numbers at most."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return (
        one.max() == other.max() == pairs.shape[1] - ((one == 0) & (other == 0)).any()
        and ((one == 0) == (other == 0)).all()
    )


def largest_part(mask: np.ndarray) -> int:
    """The largest width or height of a part of the mask that hangs together by edges."""
    from skimage.measure import label, regionprops

    boxes = [region.bbox for region in regionprops(label(mask, connectivity=1))]
    return max((max(bottom - top, right - left) for top, left, bottom, right in boxes), default=1)


def blobs(seed: int, shape: tuple[int, int], count: int) -> np.ndarray:
    """Overlapping discs, some of them cut by the border, as grey values 0, 8, ... 248: exact in every tile."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    frame = np.zeros(shape)
    for row, col, radius in zip(
        rng.uniform(0, shape[0], count), rng.uniform(0, shape[1], count), rng.uniform(1, 8, count), strict=True
    ):
        frame = np.maximum(frame, (radius - np.hypot(rows - row, cols - col)).clip(0))
    scaled = np.rint(31 * frame / max(frame.max(), 1e-9)).astype(np.uint8) * 8
    scaled[0, 0], scaled[-1, -1] = 0, 248  # pins the normalisation, so that 248 is 1
    return scaled


@st.composite
def scenes(draw) -> np.ndarray:
    shape = draw(st.tuples(st.integers(2, 60), st.integers(2, 60)))
    return blobs(draw(st.integers(0, 999)), shape, draw(st.integers(0, 25)))


def maps_of(frame: np.ndarray, tile: tuple[int, int], overlap: int) -> np.ndarray:
    """A model without a neighbourhood, run in tiles: foreground is the grey value, core is the same."""
    return segment_tiles(frame, WHOLE_RANGE, tile, overlap, 1, lambda pixels: pixels)[0]


def label_in_blocks(
    probability: np.ndarray, core: np.ndarray | None, threshold: float, objects: Objects, block: int, margin: int
) -> np.ndarray:
    """label_objects, block by block, as runtime.bulk does it with files."""
    height, width = probability.shape
    places = {place.key: place for place in blocks_of((height, width), block, margin)}
    found = {
        key: label_block(place, probability[place.seen], None if core is None else core[place.seen], threshold, objects)
        for key, place in places.items()
    }
    tables = join(
        {key: np.bincount(one.labels.ravel(), minlength=one.count + 1) for key, one in found.items()},
        {key: one.strips for key, one in found.items()},
        objects.min_area,
    )
    result = np.zeros(probability.shape, np.int32)
    for key, place in places.items():
        result[place.rows, place.cols] = tables[key][found[key].labels]
    return result


SEEDS = st.sampled_from([{}, {"core_prominence": 0.1}, {"core_prominence": 0.2, "core_smoothing": 1.6}])


@given(scenes(), st.tuples(st.integers(3, 24), st.integers(3, 24)), st.integers(0, 2), st.booleans(), SEEDS)
def test_labels_of_a_tiled_frame_are_those_of_the_whole_frame(frame, tile, overlap, with_core, seeds):
    whole, tiled = maps_of(frame, frame.shape, 0), maps_of(frame, tile, overlap)
    rule = Objects(core_threshold=0.45, min_area=3, **seeds)
    one = label_objects(whole, whole if with_core else None, 0.23, rule)
    other = label_objects(tiled, tiled if with_core else None, 0.23, rule)
    np.testing.assert_array_equal(one, other)


@given(scenes(), st.integers(5, 40), st.booleans(), st.integers(0, 12), SEEDS)
def test_labels_of_blocks_are_those_of_the_whole_frame(frame, block, with_core, min_area, seeds):
    probability = frame / np.float32(248)
    core = probability if with_core else None
    rule = Objects(core_threshold=0.45, min_area=min_area, **seeds)
    margin = largest_part(probability > 0.1)
    blockwise = label_in_blocks(probability, core, 0.1, rule, block, margin)
    assert same_objects(blockwise, label_objects(probability, core, 0.1, rule))


@given(scenes(), st.integers(4, 40))
def test_blocks_lose_no_pixel_whatever_the_margin(frame, block):
    probability = frame / np.float32(248)
    labels = label_in_blocks(probability, probability, 0.1, Objects(0.45, 0), block, 2)
    np.testing.assert_array_equal(labels > 0, probability > 0.1)


def test_a_confluent_layer_is_not_cut_at_the_borders_of_blocks():
    rows, cols = np.mgrid[:120, :120]
    core = (0.5 - 0.5 * np.cos(2 * np.pi * rows / 12) * np.cos(2 * np.pi * cols / 12)).astype(np.float32)
    probability = np.ones_like(core)  # one part, far larger than the margin
    rule = Objects(0.8, 0)
    assert same_objects(
        label_in_blocks(probability, core, 0.5, rule, 40, 24), label_objects(probability, core, 0.5, rule)
    )


def test_an_object_over_a_corner_of_four_blocks_is_one():
    probability = np.zeros((20, 20), np.float32)
    probability[7:13, 7:13] = 1
    labels = label_in_blocks(probability, None, 0.5, Objects(0.5, 36), 10, 6)
    assert labels.max() == 1
    assert (labels > 0).sum() == 36


def test_overlaps_must_be_mutual():
    one = np.array([[1, 1, 1, 2, 2, 0]], np.int32)
    other = np.array([[5, 5, 6, 6, 6, 6]], np.int32)
    assert sorted(largest_overlaps(one, other)) == [(1, 5), (2, 6)]
    assert list(largest_overlaps(one, np.zeros_like(one))) == []


@pytest.mark.parametrize(("block", "margin"), [(0, 4), (4, 0), (-1, 1)])
def test_blocks_of_no_size_are_refused(block: int, margin: int):
    with pytest.raises(InputError, match="at least 1"):
        list(blocks_of((8, 8), block, margin))
