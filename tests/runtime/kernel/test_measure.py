"""The kernel's measures: the definitions of scikit-image, for any label image and every type of frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops

from runtime import InputError, kernel

LABELS = arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 5))
NAMES = {
    "perimeter": "perimeter",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "mean_intensity": "intensity_mean",
    "min_intensity": "intensity_min",
    "max_intensity": "intensity_max",
    "sd_intensity": "intensity_std",
}


def blobs(seed: int, shape: tuple[int, int] = (90, 110)) -> np.ndarray:
    """Label image of overlapping ellipses, some of them cut by the frame's edge."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for number in range(1, 16):
        angle, long, short = rng.uniform(0, np.pi), rng.uniform(5, 14), rng.uniform(2, 8)
        row, col = rows - rng.uniform(0, shape[0]), cols - rng.uniform(0, shape[1])
        along, across = row * np.cos(angle) + col * np.sin(angle), col * np.cos(angle) - row * np.sin(angle)
        labels[np.hypot(along / long, across / short) <= 1] = number
    return labels


def assert_like_scikit_image(labels: np.ndarray, frame: np.ndarray) -> None:
    result = kernel.measure(labels, int(labels.max()), frame, None)
    expected = regionprops(labels, frame)
    assert result["label"][result["area"] > 0].tolist() == [region.label for region in expected]
    for region in expected:
        one = result[region.label - 1]
        assert (one["top"], one["left"], one["bottom"], one["right"]) == region.bbox
        assert (one["area"], one["convex_area"]) == (region.area, region.area_convex)
        assert (one["row"], one["col"]) == pytest.approx(region.centroid)
        for ours, theirs in NAMES.items():
            assert one[ours] == pytest.approx(getattr(region, theirs), rel=1e-6, abs=1e-6), ours


@settings(max_examples=150)
@given(LABELS)
@pytest.mark.filterwarnings("ignore:Failed to get convex hull image")  # of single pixels and lines, in scikit-image
def test_measures_are_those_of_scikit_image(labels: np.ndarray):
    assert_like_scikit_image(labels, np.random.default_rng(0).integers(0, 65535, labels.shape).astype(np.uint16))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("seed", range(4))
def test_measures_of_ellipses_are_those_of_scikit_image(seed: int, dtype: type):
    labels = blobs(seed)
    assert_like_scikit_image(labels, np.random.default_rng(seed).uniform(0, 255, labels.shape).astype(dtype))


@pytest.mark.parametrize("seed", range(4))
def test_orientations_are_those_of_scikit_image(seed: int):
    labels = blobs(seed)
    result = kernel.measure(labels, int(labels.max()), None, None)
    for region in regionprops(labels):
        apart = result["orientation"][region.label - 1] - region.orientation
        assert abs(np.remainder(apart + np.pi / 2, np.pi) - np.pi / 2) < 1e-9  # pi / 2 and -pi / 2 are one direction


@pytest.mark.parametrize(
    ("pixels", "orientation"),
    [(np.ones((9, 3)), 0), (np.ones((3, 9)), np.pi / 2), (np.eye(7), np.pi / 4), (np.eye(7)[::-1], -np.pi / 4)],
    ids=["along the rows' axis", "along the columns' axis", "down to the right", "up to the right"],
)
def test_the_orientation_is_the_angle_to_the_axis_of_the_rows(pixels: np.ndarray, orientation: float):
    (one,) = kernel.measure(pixels.astype(np.int32), 1, None, None)
    assert one["orientation"] == pytest.approx(orientation)


def test_orientation_is_exact_to_the_last_digits():
    for seed in range(40):
        labels = np.minimum(blobs(seed), 1)
        (one,) = kernel.measure(labels, 1, None, None)
        rows, cols = np.nonzero(labels)
        yy, xx, yx = rows.var(), cols.var(), np.mean((rows - rows.mean()) * (cols - cols.mean()))
        assert one["orientation"] == pytest.approx(np.arctan2(2 * yx, yy - xx) / 2, abs=1e-12)


def test_a_probability_map_gives_each_object_its_mean():
    labels = blobs(1)
    probability = np.random.default_rng(1).random(labels.shape, np.float32)
    result = kernel.measure(labels, int(labels.max()), None, probability)
    for one in result[result["area"] > 0]:
        assert one["mean_probability"] == pytest.approx(probability[labels == one["label"]].mean(), abs=1e-6)
        assert np.isnan(one["mean_intensity"])


def test_an_offset_of_a_float_frame_loses_no_deviation():
    frame = np.random.default_rng(0).normal(0, 1, (60, 60)).astype(np.float32) * 4 + np.float32(1e6)
    (one,) = kernel.measure(np.ones(frame.shape, np.int32), 1, frame, None)
    assert one["sd_intensity"] == pytest.approx(frame.astype(np.float64).std(), rel=1e-9)
    assert one["mean_intensity"] == pytest.approx(frame.astype(np.float64).mean(), rel=1e-12)


@pytest.mark.parametrize("at", [(0, 4), (8, 4), (4, 0), (4, 8)])
def test_an_object_at_the_edge_of_the_frame_touches_the_border(at: tuple[int, int]):
    labels = np.zeros((9, 9), np.int32)
    labels[3:6, 3:6] = 1
    labels[at] = 2
    assert kernel.measure(labels, 2, None, None)["touches_border"].tolist() == [0, 1]


def test_labels_that_do_not_occur_have_no_pixels():
    result = kernel.measure(np.array([[3, 0, 3]], np.int32), 4, None, None)
    assert result["area"].tolist() == [0, 0, 2, 0]


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_its_range_is_refused(label: int):
    with pytest.raises(InputError, match="Measuring 2 objects of 2x1 pixels failed: an argument is out of its range"):
        kernel.measure(np.array([[1, label]], np.int32), 2, None, None)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_a_label_image_without_pixels_has_no_objects(shape: tuple[int, int]):
    assert kernel.measure(np.zeros(shape, np.int32), 0, None, None).shape == (0,)


def test_a_frame_in_the_other_byte_order_is_the_same():
    labels = blobs(2)
    frame = np.random.default_rng(2).integers(0, 4000, labels.shape).astype(np.uint16)
    one, other = (kernel.measure(labels, 15, f, None) for f in (frame, frame.astype(frame.dtype.newbyteorder())))
    assert one.tobytes() == other.tobytes()


def test_two_threads_measure_the_same():
    rng = np.random.default_rng(3)
    labels = np.kron(np.arange(1, 1601, dtype=np.int32).reshape(40, 40), np.ones((7, 9), np.int32))
    labels[rng.random(labels.shape) < 0.2] = 0
    frame, probability = rng.integers(0, 4000, labels.shape, np.uint16), rng.random(labels.shape, np.float32)
    alone = kernel.measure(labels, 1600, frame, probability)
    assert alone["perimeter"].min() > 10
    np.testing.assert_array_equal(kernel.measure(labels, 1600, frame, probability, 2), alone)
