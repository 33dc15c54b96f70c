"""Quality flags: what is wrong with a frame is named, and a good frame has none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from runtime import Segmenter
from runtime.artifact.manifest import Intensity, Manifest, Normalization
from runtime.frames import flags as quality
from runtime.frames.normalize import count_levels, intensities_of

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Made

HOW = Normalization()


def cells(seed: int = 0, blur: float = 2.0, side: int = 256) -> np.ndarray:
    """Bright discs with edges `blur` pixels wide on a dim, noisy background; 12 bits in uint16."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:side, :side]
    light = np.zeros((side, side))
    for row, col, radius in rng.uniform((0, 0, 8), (side, side, 16), (20, 3)):
        distance = np.hypot(rows - row, cols - col) - radius
        light += 1 / (1 + np.exp(np.clip(distance / blur * 2, -50, 50)))
    return (rng.poisson(4000 + 30000 * light) // 20).astype(np.uint16)


KNOWN = quality.describe([cells(seed) for seed in range(8)], HOW)


def flags(frame: np.ndarray, known: Intensity | None = KNOWN, factor: float = 1.0) -> tuple[str, ...]:
    counts = count_levels(frame) if frame.dtype.kind == "u" else None
    return quality.flags(frame, counts, intensities_of(frame, HOW, counts), known, factor)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_good_frames_have_no_flags(dtype: type):
    for seed in range(10, 15):
        assert flags(cells(seed).astype(dtype)) == ()


@pytest.mark.parametrize("ceiling", [1023, 4095, 65535, 65520])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_an_exposure_that_cuts_the_tops_is_saturated(ceiling: int, dtype: type):
    frame = np.minimum(cells().astype(np.float64) * ceiling / 1000, ceiling).astype(dtype)
    assert "saturated" in flags(frame)
    assert "saturated" in flags(frame, known=None)


def test_a_few_hot_pixels_are_not_saturation():
    frame = cells()
    frame[::64, ::64] = 65535
    assert "saturated" not in flags(frame)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_frame_of_zeros_is_black_and_constant(dtype: type):
    assert flags(np.zeros((64, 64), dtype)) == ("black", "constant")


def test_a_closed_shutter_is_black():
    noise = np.random.default_rng(0).normal(100, 3, (256, 256)).round().astype(np.uint16)
    assert "black" in flags(noise, known=None)


def test_a_dim_frame_with_a_picture_is_not_black():
    dim = np.random.default_rng(0).poisson(20 + cells() / 20).astype(np.uint16)
    assert "black" not in flags(dim, known=None)


@pytest.mark.parametrize("known", [KNOWN, None])
def test_an_exposure_that_leaves_a_few_grey_levels_is_dim(known: Intensity | None):
    assert "dim" in flags((cells() // 200).astype(np.uint8), known)
    assert "dim" in flags((100 + np.random.default_rng(0).poisson(cells() / 300)).astype(np.uint16), known)
    assert "dim" not in flags((cells() // 20).astype(np.uint8), known)


def test_an_image_scaled_to_1_is_not_dim():
    assert flags((cells() / np.float32(4095)).astype(np.float32)) == ()


def test_a_constant_frame_is_constant():
    assert flags(np.full((64, 64), 700, np.uint16)) == ("constant",)


def test_a_frame_lost_in_noise_is_far_from_the_calibration():
    noise = np.random.default_rng(0).normal(3000, 100, (256, 256)).astype(np.uint16)
    assert "intensity" in flags(noise)
    assert flags(noise, known=None) == ()


def test_an_inverted_frame_is_flagged_and_then_like_the_others():
    assert flags((4000 - cells()).astype(np.uint16)) == ("inverted",)
    assert flags((4000 - cells()).astype(np.float32)) == ("inverted",)


def test_a_veil_over_a_part_of_the_frame_is_uneven():
    frame = cells().astype(np.float64)
    across = np.linspace(0, 1, frame.shape[1]) ** 2
    for dtype in (np.uint16, np.float32):
        assert "uneven" in flags((frame + 0.5 * np.ptp(frame) * across).astype(dtype), known=None)
        assert "uneven" in flags((9000 - frame - 0.5 * np.ptp(frame) * across).astype(dtype), known=None)
        assert "uneven" not in flags((frame + 0.05 * np.ptp(frame) * across).astype(dtype), known=None)


def test_padding_is_not_uneven():
    frame = cells()
    frame[:100] = 0
    assert flags(frame, known=None) == ("padding",)


def test_white_padding_is_not_saturation():
    frame = cells()
    frame[:40] = 65535
    assert flags(frame, known=None) == ("padding",)


def test_soft_edges_are_out_of_focus_unless_pixels_differ():
    assert "out_of_focus" in flags(cells(20, blur=12))
    assert "out_of_focus" not in flags(cells(20, blur=12), factor=2.0)


def test_gain_and_offset_change_neither_sharpness_nor_quantiles():
    frame, brighter = cells(), cells() * 7 + 1000
    assert quality.sharpness(frame) == pytest.approx(quality.sharpness(brighter), rel=1e-4)
    assert quality.describe([frame], HOW).lowest == pytest.approx(quality.describe([brighter], HOW).lowest, abs=1e-4)


@given(
    npst.arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32]),
        npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30),
        elements={"allow_nan": False, "allow_infinity": False, "min_value": 0, "max_value": 255},
    )
)
def test_any_frame_can_be_looked_at_and_stays_as_it_is(frame: np.ndarray):
    before = frame.copy()
    assert len(set(flags(frame))) == len(flags(frame))
    assert quality.describe([frame], HOW).frames == 1
    np.testing.assert_array_equal(frame, before)


def test_a_segmenter_flags_its_frames(made: Made, tmp_path: Path):
    path = replace(made, manifest=replace(made.manifest, intensity=KNOWN)).write(tmp_path / "a")
    with Segmenter.open(path) as segment:
        assert segment(cells(30)).flags == ()
        assert segment(np.zeros((64, 64), np.uint16)).flags == ("black", "constant")
        assert "out_of_focus" in segment(cells(30, blur=12), pixel_size_um=0.5).flags


def test_what_was_known_is_written_to_the_manifest_and_read_back(manifest: Manifest):
    known = replace(manifest, intensity=KNOWN)
    assert Manifest.from_json(known.to_json()) == known


def test_a_manifest_of_before_has_none_and_is_written_as_it_was(manifest: Manifest):
    assert '"intensity"' not in manifest.to_json()
    assert Manifest.from_json(manifest.to_json()).intensity is None
