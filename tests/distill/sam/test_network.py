"""The dense map of many prompts against the package's own predictor, one prompt at a time."""

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.utils.amg import calculate_stability_score

from distill.sam import network as networks
from distill.sam import prompts
from distill.sam.network import LARGEST_SHARE, OUTSIDE, SamNetwork

SHAPE = (60, 90)
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (*SHAPE, 3), np.uint8)
BOXES = np.float32([(3, 5, 20, 25), (40, 10, 70, 30), (60, 40, 89, 59), (0, 0, 5, 5), (30, 30, 31, 55)])
POINTS = np.float32([(10, 10), (50, 20), (80, 50)])


@pytest.fixture(scope="module")
def network(sam) -> SamNetwork:
    return SamNetwork(sam)


@pytest.fixture(scope="module")
def predictor(sam) -> SamPredictor:
    own = SamPredictor(sam)
    own.set_image(PICTURE)
    return own


@pytest.fixture(scope="module")
def encoded(network):
    return network.encode([PICTURE])[0]


def finish(predictor: SamPredictor, small: np.ndarray) -> np.ndarray:
    """Small logits to probability, by the package's own steps."""
    full = predictor.model.postprocess_masks(torch.from_numpy(small)[None, None], predictor.input_size, SHAPE)
    return torch.sigmoid(full[0, 0]).numpy()


def test_the_encoder_sees_what_the_predictor_sees(network, predictor, encoded):
    assert torch.equal(encoded.embedding[None], predictor.features)
    assert (encoded.input_size, encoded.original_size) == (predictor.input_size, SHAPE)


def test_boxes_agree_with_a_slow_reference(network, predictor, encoded):
    small = np.full((32, 32), -np.inf, np.float32)
    for box in BOXES:
        _, _, logits = predictor.predict(box=box, multimask_output=False)
        small = np.maximum(small, logits[0])
    found = network.from_boxes(encoded, BOXES, 64)
    assert found.shape == SHAPE
    assert found.dtype == np.float32
    assert found.std() > 0.01  # or the comparison says nothing
    assert np.allclose(found, finish(predictor, small), atol=1e-5)


def test_points_take_the_mask_that_sam_believes_in(network, predictor, encoded):
    small = np.full((32, 32), -np.inf, np.float32)
    chosen = set()
    for point in POINTS:
        _, quality, logits = predictor.predict(point[None], np.array([1]), multimask_output=True)
        small = np.maximum(small, logits[quality.argmax()])
        chosen.add(int(quality.argmax()))
    assert np.allclose(network.from_points(encoded, POINTS, 64), finish(predictor, small), atol=1e-5)


def test_confined_masks_agree_with_a_slow_reference(network, predictor, encoded):
    margin, side = 4, 128 / 90
    small = np.full((32, 32), -np.inf, np.float32)
    for box in BOXES:
        _, _, logits = predictor.predict(box=box, multimask_output=False)
        x0, y0, x1, y1 = (box + np.array([-1, -1, 1, 1]) * margin) * side
        for row in range(32):
            for col in range(32):
                x, y = 4 * (col + 0.5) - 0.5, 4 * (row + 0.5) - 0.5
                inside = x0 - 2 <= x <= x1 + 2 and y0 - 2 <= y <= y1 + 2
                value = logits[0, row, col] if inside else min(logits[0, row, col], OUTSIDE)
                small[row, col] = max(small[row, col], value)
    found = network.from_boxes(encoded, BOXES, 64, confine=margin)
    assert np.allclose(found, finish(predictor, small), atol=1e-5)
    assert found[55, 5] < 1e-6  # far from every box
    assert not np.allclose(found, network.from_boxes(encoded, BOXES, 64), atol=1e-3)


def test_the_grid_keeps_sure_stable_and_small_masks(network, predictor, encoded, monkeypatch):
    """The thresholds are the network's own quartiles here: a random SAM is never sure."""
    grid = prompts.grid(SHAPE, 4)
    found = [predictor.predict(point[None], np.array([1]), multimask_output=True) for point in grid]
    quality = np.concatenate([quality for _, quality, _ in found])
    logits = np.concatenate([logits for _, _, logits in found])
    stability = calculate_stability_score(torch.from_numpy(logits), 0.0, 1.0).numpy()
    share = (logits[:, :21] > 0).mean((1, 2))  # 60 of 90 rows are field, the rest is padding
    limits = np.quantile(quality, 0.2), np.quantile(stability, 0.2), np.quantile(share, 0.8)
    for name, limit in zip(("LEAST_IOU", "LEAST_STABILITY", "LARGEST_SHARE"), limits, strict=True):
        monkeypatch.setattr(networks, name, float(limit))
    kept = (quality >= limits[0]) & (stability >= limits[1]) & (share <= limits[2])
    assert 0 < kept.sum() < len(kept)
    expected = finish(predictor, logits[kept].max(0))
    assert np.allclose(network.from_grid(encoded, grid, 5), expected, atol=1e-4)


def test_a_grid_without_a_good_mask_finds_nothing(network, encoded, monkeypatch):
    monkeypatch.setattr(networks, "LEAST_IOU", 1e9)
    assert not network.from_grid(encoded, prompts.grid(SHAPE, 3), 64).any()
    assert 0 < LARGEST_SHARE < 0.5


@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
def test_the_size_of_a_chunk_does_not_matter(network, encoded, chunk: int):
    assert np.allclose(network.from_boxes(encoded, BOXES, chunk), network.from_boxes(encoded, BOXES, 64), atol=1e-5)
    assert np.allclose(network.from_points(encoded, POINTS, chunk), network.from_points(encoded, POINTS, 64), atol=1e-5)


def test_the_same_question_has_the_same_answer(network, encoded):
    assert np.array_equal(network.from_boxes(encoded, BOXES, 2), network.from_boxes(encoded, BOXES, 2))


def test_fields_of_different_sizes_share_a_pass(network):
    other = RNG.integers(0, 256, (128, 50, 3), np.uint8)
    together = network.encode([PICTURE, other, PICTURE])
    for one, picture in zip(together, (PICTURE, other, PICTURE), strict=True):
        alone = network.encode([picture])[0]
        assert torch.allclose(one.embedding, alone.embedding, atol=1e-5)
        assert (one.input_size, one.original_size) == (alone.input_size, alone.original_size)


def test_the_order_of_the_colours_matters(network, encoded):
    assert not torch.allclose(network.encode([PICTURE[..., ::-1].copy()])[0].embedding, encoded.embedding, atol=1e-3)


def test_a_box_is_scaled_with_its_field(network):
    """A field twice as large with boxes twice as far out is the same to SAM, but for its interpolation."""
    smooth = np.kron(PICTURE[::6, ::6], np.ones((6, 6, 1), np.uint8))
    double = np.kron(smooth, np.ones((2, 2, 1), np.uint8))
    (small,), (large,) = network.encode([smooth]), network.encode([double])
    one = network.from_boxes(small, BOXES[:1], 1)
    two = network.from_boxes(large, 2 * BOXES[:1] + 0.5, 1)
    assert np.abs(two[::2, ::2] - one).mean() < 0.05
