"""Quality figures against libraries that others use, and against the definition written out slowly."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.spatial.distance import cdist
from skimage.metrics import hausdorff_distance

from benchmarks.pictures import BLUE, ORANGE
from benchmarks.quality import Worst, draw, hd95, score_image, summarize
from benchmarks.source import Field
from runtime import Segmentation
from runtime.boundary import outline
from runtime.manifest import Objects

MASKS = arrays(bool, (9, 11))
FLAT = st.integers(0, 2**32 - 1)
SIDE = 48


def blobs(seed: int, count: int = 6) -> np.ndarray:
    """Rectangles that do not touch, as a label image."""
    rng, labels = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.int32)
    for number in range(1, count + 1):
        row, col = rng.integers(0, SIDE - 10, 2)
        height, width = rng.integers(3, 9, 2)
        near = slice(max(0, row - 1), row + height + 1), slice(max(0, col - 1), col + width + 1)
        if not labels[near].any():
            labels[row : row + height, col : col + width] = number
    return labels


def found(labels: np.ndarray) -> Segmentation:
    return Segmentation((labels > 0).astype(np.float32), None, 0.5, Objects())


def moved(labels: np.ndarray, seed: int) -> np.ndarray:
    """The same objects, shifted by a pixel or two, some of them gone."""
    rng = np.random.default_rng(seed)
    kept = np.where(np.isin(labels, rng.integers(1, 7, 2)), 0, labels)
    return np.roll(kept, rng.integers(-2, 3, 2), axis=(0, 1))


def slow_hd95(mask: np.ndarray, truth: np.ndarray) -> float:
    """All distances between all pairs of outline pixels."""
    distances = cdist(np.argwhere(outline(mask)), np.argwhere(outline(truth)))
    return max(np.percentile(distances.min(axis=axis), 95) for axis in (0, 1))


@given(MASKS, MASKS)
def test_hd95_is_what_the_definition_says(mask: np.ndarray, truth: np.ndarray):
    if outline(mask).any() and outline(truth).any():
        assert hd95(mask, truth) == pytest.approx(slow_hd95(mask, truth))


@given(MASKS, MASKS)
def test_at_100_percent_it_is_the_hausdorff_distance_of_scikit_image(mask: np.ndarray, truth: np.ndarray):
    one, other = outline(mask), outline(truth)
    if one.any() and other.any():
        assert hd95(mask, truth, 100) == pytest.approx(hausdorff_distance(one, other))


def test_without_an_outline_there_is_no_distance():
    empty, full, some = np.zeros((4, 4), bool), np.ones((4, 4), bool), np.eye(4, dtype=bool)
    assert hd95(empty, empty) == 0.0
    assert hd95(full, full) == 0.0
    assert hd95(empty, full) is None
    assert hd95(empty, some) is None


@pytest.mark.parametrize("seed", range(4))
def test_dice_and_iou_are_those_of_torchmetrics(seed: int):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    truth = blobs(seed)
    answer = moved(truth, seed)
    quality = summarize([score_image("a", truth, found(answer))], "nuclei")
    theirs = torch.from_numpy(answer > 0), torch.from_numpy(truth > 0)
    assert quality.dice.mean == pytest.approx(float(functional.binary_f1_score(*theirs)))
    assert quality.iou.mean == pytest.approx(float(functional.binary_jaccard_index(*theirs)))


@pytest.mark.parametrize("seed", range(4))
def test_panoptic_quality_is_that_of_torchmetrics(seed: int):
    torch = pytest.importorskip("torch")
    detection = pytest.importorskip("torchmetrics.detection")
    pairs = [(truth := blobs(seed + 10 * image), found(moved(truth, seed))) for image in range(3)]
    quality = summarize([score_image(str(i), truth, one) for i, (truth, one) in enumerate(pairs)], "nuclei")
    metric = detection.PanopticQuality(things={1}, stuffs={0}, return_per_class=True)
    for truth, one in pairs:
        shown = [np.stack([labels > 0, labels], axis=-1)[None] for labels in (one.labels(), truth)]
        metric.update(*(torch.from_numpy(image.astype(np.int64)) for image in shown))
    assert quality.panoptic_quality.pooled == pytest.approx(float(metric.compute()[0, 0]))


@pytest.mark.parametrize("seed", range(4))
def test_objects_are_counted_as_an_assignment_of_all_pairs_would(seed: int):
    from scipy.optimize import linear_sum_assignment

    truth = blobs(seed)
    answer = found(moved(truth, seed)).labels()
    ones, others = ([labels == n for n in np.unique(labels) if n] for labels in (truth, answer))
    ious = np.array([[(a & b).sum() / (a | b).sum() for b in others] for a in ones])
    rows, cols = linear_sum_assignment(-np.where(ious > 0.5, ious, 0))
    matched = ious[rows, cols][ious[rows, cols] > 0.5]
    score = score_image("a", truth, found(moved(truth, seed)))
    assert score.objects == (len(matched), len(others) - len(matched), len(ones) - len(matched))
    assert score.matched_iou == pytest.approx(matched.sum())
    assert score.count_error == len(others) - len(ones)


def test_the_worst_images_come_first_and_can_be_looked_at():
    worst, truth = Worst(), blobs(1)
    for seed in range(6):
        answer = found(moved(truth, seed))
        score = score_image(f"image {seed}", truth, answer)
        worst.see(score, Field(score.name, truth.astype(np.uint8) * 20, truth), answer)
    dices = [picture.dice for picture in worst.pictures]
    assert len(dices) == 3
    assert dices == sorted(dices)
    with Image.open(io.BytesIO(base64.b64decode(worst.pictures[0].png))) as image:
        assert image.format == "PNG"
        assert image.size == (worst.pictures[0].width, worst.pictures[0].height)
        assert {ORANGE, BLUE} <= {colour for _, colour in image.convert("RGB").getcolors()}


def test_a_picture_of_a_large_image_is_small():
    truth = np.kron(blobs(1), np.ones((20, 20), np.int32))
    score = score_image("large", truth, found(truth))
    picture = draw(score, Field("large", truth.astype(np.uint16), truth), truth)
    assert max(picture.width, picture.height) <= 384


def test_an_image_without_a_distance_does_not_count_in_its_mean():
    truth = blobs(2)
    nothing = found(np.zeros_like(truth))
    quality = summarize([score_image("a", truth, found(truth)), score_image("b", truth, nothing)], "nuclei")
    assert quality.hd95_px.images == 1
    assert quality.hd95_px.mean == 0.0
    assert quality.boundary_f1.mean == 0.5
